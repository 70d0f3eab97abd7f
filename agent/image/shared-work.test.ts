import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SharedWork, type Work } from "./shared-work.ts";

const never = () => new AbortController().signal;

describe("shared work", () => {
  test("joined by several, runs once and tells each how far it is", async () => {
    const shared = new SharedWork<number, string>();
    const gate = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    let runs = 0;
    const work: Work<number, string> = async (_signal, emit) => {
      runs += 1;
      emit(1);
      started.resolve();
      await gate.promise;
      emit(2);
      return "done";
    };
    const seen: number[][] = [[], []];
    const join = (index: number) =>
      shared.join("key", { signal: never(), onProgress: (n) => seen[index]?.push(n) }, work);
    const first = join(0);
    await started.promise;
    const second = join(1);
    gate.resolve();
    assert.deepEqual(await Promise.all([first, second]), ["done", "done"]);
    assert.equal(runs, 1);
    assert.deepEqual(seen, [
      [1, 2],
      [1, 2],
    ]);
    assert.equal(
      await shared.join("key", { signal: never() }, () => Promise.resolve("anew")),
      "anew",
    );
  });

  test("left by the last who waits, is aborted and has ended when he returns", async () => {
    const shared = new SharedWork<never, void>();
    const controllers = [new AbortController(), new AbortController()];
    const events: string[] = [];
    const work: Work<never, void> = (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          events.push("aborted");
          setImmediate(() => {
            events.push("cleaned up");
            reject(new Error("aborted"));
          });
        });
      });
    const [first, second] = controllers.map(({ signal }) => shared.join("key", { signal }, work));
    controllers[0]?.abort();
    await assert.rejects(first ?? Promise.resolve(), { code: "canceled" });
    assert.deepEqual(events, []);
    controllers[1]?.abort();
    await assert.rejects(second ?? Promise.resolve(), { code: "canceled" });
    assert.deepEqual(events, ["aborted", "cleaned up"]);
  });
});
