import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { errnoOf } from "#proto/fault.ts";
import { until } from "#proto/testing/until.ts";
import { bytes, TestGroup } from "./testing/test-group.ts";

/** A file system of 4 MiB. */
function smallDisk(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "swarm-group-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "swarm-group-test", path]);
  t.after(() => {
    execFileSync("umount", [path]);
    rmSync(path, { recursive: true });
  });
  return path;
}

/** Leaves nothing free until the file is removed. */
function fill(folder: string): string {
  const path = join(folder, "ballast");
  for (;;) {
    try {
      writeFileSync(path, Buffer.alloc(1024), { flag: "a" });
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOSPC") return path;
      throw thrown;
    }
  }
}

test("disk full, a manager alone says so, and goes on by itself when there is room", async (t) => {
  const disk = smallDisk(t);
  const options = { managers: 1, pathOf: () => join(disk, "log.db") };
  await using group = await TestGroup.start(options);
  const { log, machine } = group.member(0);
  const ballast = fill(disk);
  const full = { code: "resource-exhausted", message: /cannot write its log: .*full/ };
  const written: string[] = [];
  const attempt = async (count: number) => {
    const text = `${count} ${"x".repeat(50_000)}`;
    await log.propose(bytes(text));
    written.push(text);
  };
  // The one that finds the disk full stays open: it may still be written.
  const first = attempt(0);
  await until(() => !log.leading);
  await assert.rejects(log.propose(bytes("refused")), full);
  rmSync(ballast);
  await first;
  await until(() => log.leading, 15_000);
  await attempt(1);
  assert.deepEqual(machine.texts, written);
});

test("disk full, a leader leaves the lead to others and catches up when there is room", async (t) => {
  const disk = smallDisk(t);
  const options = {
    managers: 3,
    pathOf: (number: number) => (number === 0 ? join(disk, "log.db") : undefined),
  };
  await using group = await TestGroup.start(options);
  const first = group.member(0);
  assert.equal(await group.leader(), first);
  const ballast = fill(disk);
  const large = "x".repeat(50_000);
  await first.log.propose(bytes(large));
  const others = group.members.slice(1);
  assert.ok(others.includes(await group.leader(() => others)));
  const full = { code: "resource-exhausted", message: /cannot write its log: .*full/ };
  await assert.rejects(first.log.propose(bytes("refused")), full);
  await assert.rejects(first.log.barrier(), full);
  await Promise.all(others.map(({ log, number }) => log.propose(bytes(`${number}`))));
  rmSync(ballast);
  await until(() => first.machine.texts.length === 3, 15_000);
  for (const { log, machine } of group.members) {
    await log.barrier();
    assert.deepEqual(machine.texts.toSorted(), ["1", "2", large]);
  }
});
