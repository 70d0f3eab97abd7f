import assert from "node:assert/strict";
import { test } from "node:test";
import { TestGroup } from "./testing/test-group.ts";

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

test("replication, one manager alone writes, and finds it again after a restart", async () => {
  await using group = await TestGroup.start({ managers: 1 });
  const only = group.member(0);
  const texts = Array.from({ length: 500 }, (_, index) => `text ${index}`);
  await Promise.all(texts.map((text) => only.log.propose(bytes(text))));
  assert.deepEqual(only.machine.texts, texts);
  await only.stop();
  await only.start();
  await only.log.barrier();
  assert.deepEqual(only.machine.texts, texts);
});

test("replication, what any manager writes is read behind a barrier on all", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  for (const member of group.members) {
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        member.log.propose(bytes(`${member.number} ${index}`)),
      ),
    );
    for (const reader of group.members) {
      await reader.log.barrier();
      assert.equal(reader.machine.texts.length, 50 * (member.number + 1));
    }
  }
  assert.deepEqual(group.member(1).machine.texts, group.member(0).machine.texts);
  assert.deepEqual(group.member(2).machine.texts, group.member(0).machine.texts);
});
