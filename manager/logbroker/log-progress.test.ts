import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  type LogMessage,
  LogMessageSchema,
  type LogOptions,
  LogOptionsSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { LogProgress } from "./log-progress.ts";

function message(taskId: string, atMs: number, text: string): LogMessage {
  return create(LogMessageSchema, {
    taskId,
    timestamp: timestampFromMs(atMs),
    data: Buffer.from(text),
  });
}

/** What a node sends of a log that is asked for with these options. */
function readAs(log: readonly LogMessage[], options: LogOptions | undefined) {
  const since = options?.since?.seconds ?? 0n;
  const tail = options?.tail === undefined ? log : log.slice(log.length - Number(options.tail));
  return tail.filter(({ timestamp }) => (timestamp?.seconds ?? 0n) >= since);
}

test("log progress, reading that breaks off anywhere comes to the whole, no line twice", () => {
  // Steps of the clock between lines: many have one timestamp.
  const steps = fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 20 });
  const breaks = fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(steps, { minLength: 1, maxLength: 3 }), breaks, (logs, cuts) => {
      const taskIds = logs.map((_, index) => `t${index}`);
      const all = logs.map((log, index) => {
        let seconds = 0;
        return log.map((step, number) =>
          message(`t${index}`, (seconds += step) * 1000, `${number}`),
        );
      });
      const progress = new LogProgress(undefined, timestampFromMs(0));
      const got: LogMessage[] = [];
      for (const cut of [...cuts, Infinity]) {
        for (const { taskIds: asked, options } of progress.parts(taskIds)) {
          for (const taskId of asked) {
            const sent = readAs(all[taskIds.indexOf(taskId)] ?? [], options);
            got.push(...progress.take(sent.slice(0, cut)));
          }
        }
      }
      for (const [index, log] of all.entries()) {
        assert.deepEqual(
          got.filter(({ taskId }) => taskId === `t${index}`),
          log,
        );
      }
    }),
  );
});

test("log progress, a tail is asked for once; what follows it is asked for by time", () => {
  const options = create(LogOptionsSchema, { follow: true, tail: 2n });
  const progress = new LogProgress(options, timestampFromMs(0));
  assert.deepEqual(progress.parts(["a", "b"]), [{ taskIds: ["a", "b"], options }]);
  progress.take([message("a", 5_000, "x")]);
  const [fresh, begun] = progress.parts(["a", "b"]);
  assert.deepEqual([fresh?.taskIds, fresh?.options?.tail], [["b"], 2n]);
  assert.deepEqual([begun?.taskIds, begun?.options?.tail], [["a"], undefined]);
  assert.deepEqual([begun?.options?.follow, begun?.options?.since?.seconds], [true, 5n]);
});

test("log progress, who wants no old lines misses none that come while nobody reads", () => {
  const options = create(LogOptionsSchema, { follow: true, tail: 0n });
  const progress = new LogProgress(options, timestampFromMs(7_000));
  assert.deepEqual(progress.parts(["a"])[0]?.options, options);
  const [again] = progress.parts(["a"]);
  assert.deepEqual([again?.options?.tail, again?.options?.since?.seconds], [undefined, 7n]);
});
