import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import type { SnapshotMeta } from "../raft/contract.ts";
import { chunkBytesMin, encodeChunk } from "./chunk.ts";
import { openStorage, type RaftStorage } from "./raft-storage.ts";
import {
  dataEntries,
  folder,
  found,
  inFile,
  membership,
  never,
  persistOf,
  piecesOf,
  reopen,
  sql,
  told,
} from "./testing/storage-fixture.ts";

function metaAt(index: number): SnapshotMeta {
  return { index, term: 3, membership };
}

function chunkOf(meta: SnapshotMeta, chunk: number, texts: readonly string[]) {
  const data = encodeChunk(texts.map((text) => Buffer.from(text)));
  return persistOf({ chunk: { meta, chunk, data } });
}

/** With entries 1 … 5 of term 3. */
async function withEntries(t: TestContext): Promise<{ path: string; storage: RaftStorage }> {
  const path = join(folder(t), "log.db");
  const storage = await found(path);
  await storage.persist(persistOf({ entries: dataEntries(1, ["a", "b", "c", "d", "e"], 3) }));
  return { path, storage };
}

const texts = Array.from({ length: 3000 }, (_, index) => `${index} `.repeat(200));
const pieces = texts.map((text) => Buffer.from(text));

async function chunksOf(storage: RaftStorage, index: number): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = await storage.readChunk(index, chunks.length);
    assert.ok(chunk !== undefined);
    chunks.push(chunk.data);
    if (chunk.last) return chunks;
  }
}

test("log, a snapshot is read back in pieces, and its chunks make the same one elsewhere", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.writeSnapshot(metaAt(4), pieces, never);
  const chunks = await chunksOf(storage, 4);
  assert.ok(chunks.length > 3);
  for (const chunk of chunks) assert.ok(chunk.length < 2 * chunkBytesMin);
  assert.equal(await storage.readChunk(4, chunks.length), undefined);
  await storage[Symbol.asyncDispose]();

  await using again = await reopen(path);
  assert.deepEqual(await piecesOf(again), texts);
  assert.deepEqual(told(again.durable.entries), told(dataEntries(1, ["a", "b", "c", "d", "e"], 3)));

  const otherPath = join(folder(t), "log.db");
  const other = await found(otherPath);
  const meta = metaAt(4);
  for (const [number, data] of chunks.entries()) {
    await other.persist(persistOf({ chunk: { meta, chunk: number, data } }));
    assert.ok(data.length > 0, "the caller keeps its memory");
  }
  await other.persist(persistOf({ install: meta }));
  assert.deepEqual(await piecesOf(other), texts);
  await other[Symbol.asyncDispose]();
  await using reopened = await reopen(otherPath);
  assert.deepEqual(await piecesOf(reopened), texts);
  assert.deepEqual(reopened.durable.snapshot, meta);
});

test("log, a received snapshot takes the place of the whole log, in one step with what follows", async (t) => {
  const { path, storage } = await withEntries(t);
  const meta = metaAt(40);
  await storage.persist(chunkOf(meta, 0, ["x", "y"]));
  const hardState = { term: 8, votedFor: undefined };
  const entries = dataEntries(41, ["next"], 8);
  const last = chunkOf(meta, 1, ["z"]);
  await storage.persist({ ...last, install: meta, hardState, entries });
  assert.deepEqual(await piecesOf(storage), ["x", "y", "z"]);
  await storage[Symbol.asyncDispose]();
  await using again = await reopen(path);
  assert.deepEqual(again.durable.hardState, hardState);
  assert.deepEqual(again.durable.snapshot, meta);
  assert.deepEqual(told(again.durable.entries), ["41/8 next"]);
  assert.deepEqual(await piecesOf(again), ["x", "y", "z"]);
});

test("log, chunks that were not installed are forgotten with a restart", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.persist(chunkOf(metaAt(40), 0, ["x"]));
  await storage[Symbol.asyncDispose]();
  await using again = await reopen(path);
  assert.equal(again.durable.entries.length, 5);
  await assert.rejects(again.persist(chunkOf(metaAt(40), 1, ["y"])), /out of its turn/);
  await again[Symbol.asyncDispose]();
  assert.deepEqual(sql(path, "SELECT chunk FROM chunks WHERE chunk > 0"), []);
});

test("log, a snapshot that begins anew from another leader leaves nothing of the one before", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.persist(chunkOf(metaAt(40), 0, ["old"]));
  await storage.persist(chunkOf(metaAt(40), 1, ["old"]));
  const meta = { ...metaAt(40), term: 4 };
  await storage.persist(chunkOf(meta, 0, ["new"]));
  await assert.rejects(storage.persist(persistOf({ install: metaAt(40) })), /before it is there/);
  await storage.persist(persistOf({ install: meta }));
  assert.deepEqual(await piecesOf(storage), ["new"]);
  await storage[Symbol.asyncDispose]();
  await using again = await reopen(path);
  assert.deepEqual(await piecesOf(again), ["new"]);
});

test("log, chunks that cannot be right are refused and change nothing", async (t) => {
  const { path, storage } = await withEntries(t);
  const meta = metaAt(40);
  await storage.persist(chunkOf(meta, 0, ["x"]));
  for (const wrong of [chunkOf(meta, 2, ["z"]), chunkOf(metaAt(41), 1, ["y"])]) {
    await assert.rejects(storage.persist(wrong), { code: "internal", message: /out of its turn/ });
  }
  const cut = persistOf({ chunk: { meta, chunk: 1, data: Uint8Array.of(0, 0, 0, 9, 1) } });
  await assert.rejects(storage.persist(cut), { code: "invalid-argument", message: /cut off/ });
  await storage.persist(chunkOf(meta, 1, ["y"]));
  await storage.persist(persistOf({ install: meta }));
  await storage[Symbol.asyncDispose]();
  await using again = await reopen(path);
  assert.deepEqual(await piecesOf(again), ["x", "y"]);
});

test("log, the snapshot before the newest stays readable, the one before that is gone", async (t) => {
  const { path, storage } = await withEntries(t);
  for (const index of [2, 3, 4]) {
    await storage.writeSnapshot(metaAt(index), [Buffer.from(`state ${index}`)], never);
  }
  assert.deepEqual(await storage.readChunk(2, 0), undefined);
  assert.deepEqual((await chunksOf(storage, 3)).map(String).length, 1);
  await storage.persist(chunkOf(metaAt(9), 0, ["received"]));
  await storage.persist(persistOf({ install: metaAt(9) }));
  assert.deepEqual(await storage.readChunk(3, 0), undefined);
  assert.equal((await chunksOf(storage, 4)).length, 1);
  assert.equal((await chunksOf(storage, 9)).length, 1);
  await storage[Symbol.asyncDispose]();
  assert.equal(sql(path, "SELECT * FROM chunks").length, 2);
  await using again = await reopen(path);
  assert.equal(await again.readChunk(4, 0), undefined);
  assert.deepEqual(await piecesOf(again), ["received"]);
  await again[Symbol.asyncDispose]();
  assert.equal(sql(path, "SELECT * FROM chunks").length, 1);
});

test("log, a snapshot that fails or is called off leaves the one before in force", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.writeSnapshot(metaAt(2), [Buffer.from("two")], never);
  const calledOff = new AbortController();
  function* untilCalledOff() {
    yield* pieces;
    calledOff.abort();
  }
  await assert.rejects(storage.writeSnapshot(metaAt(4), untilCalledOff(), calledOff.signal), {
    code: "canceled",
  });
  function* broken() {
    yield* pieces;
    throw new Error("no more");
  }
  await assert.rejects(storage.writeSnapshot(metaAt(4), broken(), never), /entry 4: no more/);
  assert.equal(await storage.readChunk(4, 0), undefined);
  assert.deepEqual(await piecesOf(storage), ["two"]);
  await storage[Symbol.asyncDispose]();
  assert.equal(sql(path, "SELECT * FROM chunks").length, 2);
  await using again = await reopen(path);
  assert.deepEqual(again.durable.snapshot, metaAt(2));
});

test("log, disposed while a snapshot is written it keeps the one before", async (t) => {
  const { path, storage } = await withEntries(t);
  const writing = storage.writeSnapshot(metaAt(4), pieces, never);
  await Promise.all([
    assert.rejects(writing, { code: "unavailable" }),
    storage[Symbol.asyncDispose](),
  ]);
  await using again = await reopen(path);
  assert.equal(again.durable.snapshot.index, 0);
});

test("log, a snapshot that a received one has overtaken is dropped", async (t) => {
  const { storage } = await withEntries(t);
  await using _storage = storage;
  let install = Promise.resolve();
  function* overtaken() {
    yield* pieces;
    install = storage.persist({ ...chunkOf(metaAt(9), 0, ["received"]), install: metaAt(9) });
    yield* pieces;
  }
  await storage.writeSnapshot(metaAt(4), overtaken(), never);
  await install;
  assert.deepEqual(await piecesOf(storage), ["received"]);
  assert.equal(await storage.readChunk(4, 0), undefined);
});

test("log, a snapshot may be ahead of the entries that are here, which are then dropped", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.writeSnapshot(metaAt(7), [Buffer.from("seven")], never);
  await storage.persist(persistOf({ entries: dataEntries(6, ["f"], 3) }));
  await storage[Symbol.asyncDispose]();
  for (let opening = 1; opening <= 2; opening++) {
    await using again = await reopen(path);
    assert.deepEqual(again.durable.snapshot, metaAt(7));
    assert.deepEqual(again.durable.entries, []);
  }
  await using again = await reopen(path);
  await again.persist(persistOf({ entries: dataEntries(8, ["h"], 3) }));
});

test("log, a snapshot may cover what other entries stand in for here, which are then dropped", async (t) => {
  const path = join(folder(t), "log.db");
  const early = await found(path);
  await early.persist(persistOf({ entries: dataEntries(1, ["a", "b", "of an old term", "too"]) }));
  await early.writeSnapshot({ index: 3, term: 2, membership }, [Buffer.from("state")], never);
  await early[Symbol.asyncDispose]();
  {
    await using storage = await reopen(path);
    assert.deepEqual(storage.durable.entries, []);
    await storage.persist(persistOf({ entries: dataEntries(4, ["next"], 2) }));
  }
  await using again = await reopen(path);
  const places = again.durable.entries.map(({ index, term }) => [index, term]);
  assert.deepEqual(places, [[4, 2]]);
});

test("log, encoding a snapshot leaves the event loop a turn every 2 ms or chunk", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage[Symbol.asyncDispose]();
  const clock = new FakeClock();
  await using again = await openStorage({ path, keyEncryption: inFile }, { clock });
  /** The most that was drawn between two turns, by what each piece costs on the clock and its size. */
  async function longestStretch(pieceMs: number, pieceBytes: number, count: number) {
    let drawn = 0;
    let longest = 0;
    const progress = { done: false };
    function* costly() {
      const piece = new Uint8Array(pieceBytes);
      for (let number = 0; number < count; number++) {
        clock.advance(pieceMs);
        drawn += 1;
        yield piece;
      }
    }
    const writing = again.writeSnapshot(metaAt(5), costly(), never).finally(() => {
      progress.done = true;
    });
    while (!progress.done) {
      const before = drawn;
      await turn();
      longest = Math.max(longest, drawn - before);
    }
    await writing;
    assert.equal(drawn, count);
    return longest;
  }
  // One turn of the test may see the end of one stretch and the next one.
  assert.ok((await longestStretch(0.02, 300, 100_000)) <= 2 * 101);
  assert.ok((await longestStretch(5, 300, 200)) <= 2);
  assert.ok((await longestStretch(0, 64 * 1024, 1000)) <= 2 * 8);
});

test("log, as many old snapshots are kept as is said, over a restart too", async (t) => {
  const { path, storage } = await withEntries(t);
  await storage.keepSnapshots(2);
  for (const index of [1, 2, 3, 4]) await storage.writeSnapshot(metaAt(index), pieces, never);
  await storage[Symbol.asyncDispose]();
  const again = await reopen(path);
  const there = async (log: RaftStorage) => {
    const chunks = await Promise.all([1, 2, 3, 4].map((index) => log.readChunk(index, 0)));
    return chunks.map((chunk) => chunk !== undefined);
  };
  assert.deepEqual(await there(again), [false, true, true, true]);
  // Until it is told, what there is stays.
  await again.writeSnapshot(metaAt(5), pieces, never);
  assert.ok((await again.readChunk(5, 0)) !== undefined);
  await again.keepSnapshots(0);
  await again[Symbol.asyncDispose]();
  const last = await reopen(path);
  assert.deepEqual(await there(last), [false, false, false, false]);
  assert.ok((await chunksOf(last, 5)).length > 3);
  await last[Symbol.asyncDispose]();
});
