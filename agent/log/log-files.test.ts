/** The real conmon with a runtime that runs a script in place of a container. */
import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { listLogFiles, logPath } from "./log-files.ts";
import { ScriptTask } from "./testing/script-task.ts";

const timeout = 30_000;

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`);

test("log files, a task that writes while its log is rotated: a follower reads every line once", {
  timeout,
}, async () => {
  using task = new ScriptTask(
    "for i in $(seq 0 99); do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); sleep 0.01; done",
  );
  await task.start("--log-path", "k8s-file:log", "--log-size-max", "100000000");
  const rotate = task.rotation({ fileBytesMax: 100_000, files: 400 });
  const seen: string[] = [];
  for await (const lines of task.read({ follow: true })) {
    rotate();
    seen.push(...lines.map(({ data }) => Buffer.from(data).toString()));
    if (task.hasExited) task.ended.abort();
    if (seen.length === 100_000) break;
  }
  assert.deepEqual(seen, numbers(1, 100_000));
  assert.ok(listLogFiles(task.folder).length > 3, "it was rotated");
});

test("log files, more than they hold: the oldest go, the rest is whole, and tail counts across them", {
  timeout,
}, async () => {
  using task = new ScriptTask(`for i in $(seq 20); do
  until [ -e $go$i ]; do sleep 0.01; done
  seq $((i * 1000)) $((i * 1000 + 999))
done
until [ -e $go ]; do sleep 0.01; done`);
  await task.start("--log-path", "k8s-file:log", "--log-size-max", "100000000");
  const rotate = task.rotation({ fileBytesMax: 40_000, files: 3 });
  for (let part = 1; part <= 20; part++) {
    writeFileSync(join(task.folder, `go${part}`), "");
    while ((await task.texts({ tail: 1n }))[0] !== `${part * 1000 + 999}`) {
      await systemClock.sleep(5);
    }
    while (statSync(logPath(task.folder)).size > 0) {
      rotate();
      await systemClock.sleep(2);
    }
    rotate();
    assert.ok(listLogFiles(task.folder).length <= 3);
  }
  const texts = await task.texts();
  assert.deepEqual(texts, numbers(20_999 - texts.length + 1, 20_999));
  assert.ok(texts.length >= 1000 && texts.length <= 3000, `${texts.length}`);
  assert.deepEqual(await task.texts({ tail: 1500n }), numbers(19_500, 20_999));
});

test("log files, nobody is there to rotate them: conmon bounds them, and the latest lines are whole", {
  timeout,
}, async () => {
  using task = new ScriptTask("seq 1 200000; until [ -e $go ]; do sleep 0.01; done; seq 1 10");
  await task.start("--log-path", "k8s-file:log", "--log-size-max", "1000000");
  const isDone = async () => (await task.texts({ tail: 1n }))[0] === "200000";
  await untilSeen(isDone);
  const sizes = listLogFiles(task.folder).map(({ sizeBytes }) => sizeBytes);
  assert.ok(sizes.every((bytes) => bytes <= 1_000_000));
  const texts = await task.texts();
  assert.deepEqual(texts, numbers(200_001 - texts.length, 200_000));
  task.go();
  await untilSeen(() => task.hasExited);
  assert.deepEqual(await task.texts({ tail: 10n }), numbers(1, 10));
});

test("log reader, slower than the task writes: told which lines were dropped", {
  timeout,
}, async () => {
  using task = new ScriptTask("seq 1 1000; until [ -e $go ]; do sleep 0.01; done; seq 1001 200000");
  await task.start("--log-path", "k8s-file:log", "--log-size-max", "1000000");
  await untilSeen(async () => (await task.texts({ tail: 1n }))[0] === "1000");
  const reader = task.read({ follow: true });
  const first = await reader.next();
  assert.ok(first.done !== true);
  task.go();
  await untilSeen(() => task.hasExited);
  task.ended.abort();
  const rest = (await Array.fromAsync(reader)).flat();
  const notices = rest.filter(({ dropped }) => dropped === true);
  assert.equal(notices.length, 1);
  assert.match(
    Buffer.from(notices[0]?.data ?? "").toString(),
    /^lines were dropped: those after \S+Z and before \S+Z\./,
  );
  const texts = rest
    .filter(({ dropped }) => dropped !== true)
    .map(({ data }) => Buffer.from(data).toString());
  assert.equal(texts.at(-1), "200000");
  assert.ok(texts.length < 199_000);
});

test("log reader, bytes, long lines, both streams and no last end of line: as they were written", {
  timeout,
}, async () => {
  using task = new ScriptTask(
    String.raw`printf 'a\377\000b\n'; echo oops >&2; head -c 3000000 /dev/zero | tr '\0' x; printf '\nend'`,
  );
  await task.start("--log-path", "k8s-file:log", "--log-size-max", "100000000");
  await untilSeen(() => task.hasExited);
  const lines = (await Array.fromAsync(task.read())).flat();
  const of = (stream: number) => lines.filter((line) => line.stream === stream);
  const stdout = of(1).map(({ data, partial }) =>
    Buffer.concat([data, Buffer.from(partial ? "" : "\n")]),
  );
  const written = [Buffer.from([0x61, 0xff, 0, 0x62, 0x0a]), Buffer.alloc(3_000_000, "x")];
  assert.ok(Buffer.concat(stdout).equals(Buffer.concat([...written, Buffer.from("\nend")])));
  assert.deepEqual(
    of(2).map(({ data }) => Buffer.from(data).toString()),
    ["oops"],
  );
});
