import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import { folder, found, membership, never } from "../log/testing/storage-fixture.ts";
import type { StateMachine } from "../store/log.ts";
import { Applier, type ApplierEvents } from "./applier.ts";

const meta = { index: 9, term: 2, membership };
const pieceCount = 500;

async function storageWithSnapshot(t: TestContext): Promise<RaftStorage> {
  const storage = await found(join(folder(t), "log.db"));
  const pieces = Array.from({ length: pieceCount }, (_, number) => Buffer.from(`${number}`));
  await storage.writeSnapshot(meta, pieces, never);
  return storage;
}

/** Needs a millisecond for each piece. */
function slowMachine(clock: FakeClock, onPiece: (texts: readonly string[]) => void): StateMachine {
  return {
    apply: () => undefined,
    snapshot: () => [],
    async restore(_index, pieces) {
      const texts: string[] = [];
      for await (const piece of pieces) {
        clock.advance(1);
        texts.push(Buffer.from(piece).toString());
        onPiece(texts);
      }
    },
  };
}

function eventsTo(replaced: ApplierEvents["replaced"], failed: ApplierEvents["failed"]) {
  const nothing = () => {};
  return { termBegan: nothing, applied: nothing, rested: nothing, replaced, failed };
}

test("applier, a large snapshot takes the state's place in short stretches", async (t) => {
  await using storage = await storageWithSnapshot(t);
  const clock = new FakeClock();
  let stretchMs = 0;
  let longestMs = 0;
  const onPiece = (texts: readonly string[]) => {
    assert.equal(texts.at(-1), `${texts.length - 1}`);
    stretchMs += 1;
    longestMs = Math.max(longestMs, stretchMs);
  };
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const events = eventsTo(({ index }) => resolve(index), reject);
  const modules = { machine: slowMachine(clock, onPiece), storage, clock };
  await using applier = new Applier({ index: 0, term: 0, membership }, modules, events);
  applier.install(meta, Promise.resolve());
  const over = new AbortController();
  const watch = async () => {
    for (; !over.signal.aborted; stretchMs = 0) await turn();
  };
  const watching = watch();
  assert.equal(await promise, meta.index);
  assert.deepEqual(applier.place, meta);
  over.abort();
  await watching;
  assert.ok(longestMs <= 10, `${longestMs} ms at a stretch`);
});

test("applier, closed while a snapshot is read it leaves the state as it is, and nothing has failed", async (t) => {
  await using storage = await storageWithSnapshot(t);
  const clock = new FakeClock();
  const begun = Promise.withResolvers<void>();
  const unexpected = (news: unknown) => {
    throw new Fault("internal", "the state was replaced, or that failed", { cause: news });
  };
  const machine = slowMachine(clock, () => begun.resolve());
  const events = eventsTo(unexpected, unexpected);
  const place = { index: 0, term: 0, membership };
  const applier = new Applier(place, { machine, storage, clock }, events);
  applier.install(meta, Promise.resolve());
  await begun.promise;
  await applier[Symbol.asyncDispose]();
  assert.deepEqual(applier.place, place);
});
