import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Entry } from "../raft/contract.ts";
import { createStorage, openStorage, renewStorage } from "./raft-storage.ts";
import {
  beginning,
  dataEntries,
  folder,
  found,
  inFile,
  membership,
  never,
  persistOf,
  piecesOf,
  ports,
  reopen,
  smallDisk,
  sql,
  told,
} from "./testing/storage-fixture.ts";

test("log, a new life begins with its snapshot's term and nothing else", async (t) => {
  const path = join(folder(t), "manager", "log.db");
  await using storage = await found(path);
  assert.deepEqual([storage.group, storage.serverId], ["group", 1]);
  assert.deepEqual(storage.durable, {
    hardState: { term: 0, votedFor: undefined },
    snapshot: beginning,
    entries: [],
  });
  assert.deepEqual(await piecesOf(storage), []);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(`${path}.key`).mode & 0o777, 0o600);
});

test("log, what was persisted is there after reopening, each kind of entry as it was", async (t) => {
  const path = join(folder(t), "log.db");
  const entries: Entry[] = [
    { kind: "term-start", index: 1, term: 4 },
    { kind: "data", index: 2, term: 4, data: Uint8Array.of(1, 2, 3) },
    { kind: "data", index: 3, term: 4, data: new Uint8Array() },
    { kind: "membership", index: 4, term: 4, membership: { ...membership, removed: [7] } },
    { kind: "data", index: 5, term: 4, data: new Uint8Array(3 * 1024 * 1024).fill(5) },
  ];
  const hardState = { term: 4, votedFor: 2 ** 53 - 1 };
  {
    await using storage = await found(path);
    await storage.persist(persistOf({ hardState, entries }));
  }
  await using storage = await reopen(path);
  assert.deepEqual(storage.durable, { hardState, snapshot: beginning, entries });
});

test("log, entries take the place of everything from the first one's index on", async (t) => {
  const path = join(folder(t), "log.db");
  {
    await using storage = await found(path);
    await storage.persist(persistOf({ entries: dataEntries(1, ["a", "b", "c", "d"]) }));
    await storage.persist(persistOf({ entries: dataEntries(3, ["C"], 2) }));
    await storage.persist(persistOf({ entries: dataEntries(3, ["see", "dee"], 3) }));
  }
  await using storage = await reopen(path);
  assert.deepEqual(told(storage.durable.entries), ["1/1 a", "2/1 b", "3/3 see", "4/3 dee"]);
});

test("log, persists that run together are done in call order", async (t) => {
  const path = join(folder(t), "log.db");
  {
    await using storage = await found(path);
    const settled: number[] = [];
    const calls = Array.from({ length: 500 }, async (_, count) => {
      const hardState = { term: count + 1, votedFor: undefined };
      const entries = dataEntries(Math.floor(count / 2) + 1, [`${count}`], count + 1);
      await storage.persist(persistOf({ number: count, hardState, entries }));
      settled.push(count);
    });
    await Promise.all(calls);
    assert.deepEqual(
      settled,
      calls.map((_, count) => count),
    );
  }
  await using storage = await reopen(path);
  assert.equal(storage.durable.hardState.term, 500);
  const expected = Array.from({ length: 250 }, (_, index) => {
    const count = index * 2 + 1;
    return `${index + 1}/${count + 1} ${count}`;
  });
  assert.deepEqual(told(storage.durable.entries), expected);
});

test("log, an entry that leaves a gap is refused, with all that waits behind it", async (t) => {
  const path = join(folder(t), "log.db");
  await using storage = await found(path);
  const hardState = { term: 9, votedFor: undefined };
  const calls = [
    storage.persist(persistOf({ entries: dataEntries(1, ["a"]) })),
    storage.persist(persistOf({ hardState, entries: dataEntries(3, ["c"]) })),
    storage.persist(persistOf({ entries: dataEntries(2, ["b"]) })),
  ];
  const outcomes = await Promise.allSettled(calls);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "rejected"],
  );
  await storage.persist(persistOf({ entries: dataEntries(2, ["b"]) }));
  await storage[Symbol.asyncDispose]();
  await using again = await reopen(path);
  assert.deepEqual(told(again.durable.entries), ["1/1 a", "2/1 b"]);
  assert.equal(again.durable.hardState.term, 0);
});

test("log, disposed it first writes what was given and then takes no more", async (t) => {
  const path = join(folder(t), "log.db");
  const storage = await found(path);
  const calls = ["a", "b", "c"].map((text, offset) =>
    storage.persist(persistOf({ entries: dataEntries(offset + 1, [text]) })),
  );
  await storage[Symbol.asyncDispose]();
  await Promise.all(calls);
  await assert.rejects(storage.persist(persistOf({})), { code: "unavailable" });
  await assert.rejects(storage.readChunk(0, 0), { code: "unavailable" });
  await using again = await reopen(path);
  assert.deepEqual(told(again.durable.entries), ["1/1 a", "2/1 b", "3/1 c"]);
});

test("log, dropped entries are gone, and those that the snapshot does not cover cannot be", async (t) => {
  const path = join(folder(t), "log.db");
  const texts = Array.from({ length: 5000 }, (_, index) => `${index + 1}`);
  {
    await using storage = await found(path);
    await storage.persist(persistOf({ entries: dataEntries(1, texts) }));
    await assert.rejects(storage.dropEntries(10), /entry 10 is not covered by snapshot 0/);
    await storage.writeSnapshot({ index: 4500, term: 1, membership }, [], never);
    await storage.dropEntries(4400);
    await storage.dropEntries(4400);
  }
  await using storage = await reopen(path);
  assert.equal(storage.durable.snapshot.index, 4500);
  assert.deepEqual(told(storage.durable.entries), told(dataEntries(1, texts)).slice(4400));
});

test("log, no file is found, and none is written over", async (t) => {
  const path = join(folder(t), "log.db");
  await assert.rejects(reopen(path), { code: "not-found", message: `there is no log "${path}"` });
  assert.deepEqual(existsSync(path), false);
  await (await found(path))[Symbol.asyncDispose]();
  await assert.rejects(found(path), { code: "already-exists", message: /exists already/ });
});

test("log, a second opener is refused while the first has it", async (t) => {
  const path = join(folder(t), "log.db");
  await using _storage = await found(path);
  await assert.rejects(reopen(path), {
    code: "failed-precondition",
    message: `Cannot open the log "${path}": another process has it open; stop that one first`,
  });
});

test("log, a life begins with a given state", async (t) => {
  const path = join(folder(t), "log.db");
  const snapshot = { index: 70, term: 6, membership };
  const texts = Array.from({ length: 300 }, (_, index) => `${index} `.repeat(2000));
  const pieces = texts.map((text) => Buffer.from(text));
  const life = { group: "restored", serverId: 5, snapshot, pieces };
  {
    await using storage = await createStorage({ path, keyEncryption: inFile, ...life }, ports);
    assert.deepEqual(await piecesOf(storage), texts);
  }
  await using storage = await reopen(path);
  assert.deepEqual(storage.durable, {
    hardState: { term: 6, votedFor: undefined },
    snapshot,
    entries: [],
  });
  assert.deepEqual(await piecesOf(storage), texts);
  await storage.persist(persistOf({ entries: dataEntries(71, ["next"], 7) }));
});

test("log, a life whose beginning fails leaves nothing, and before it is whole there is nothing to open", async (t) => {
  const path = join(folder(t), "log.db");
  function* pieces() {
    for (let count = 0; count < 3; count++) yield new Uint8Array(600 * 1024);
    assert.equal(existsSync(path), false);
    assert.equal(existsSync(`${path}.new`), true);
    throw new Error("the backup ends here");
  }
  const life = { group: "restored", serverId: 5, snapshot: beginning, pieces: pieces() };
  await assert.rejects(
    createStorage({ path, keyEncryption: inFile, ...life }, ports),
    /the backup ends here/,
  );
  assert.deepEqual(readdirSync(join(path, "..")), []);
});

test("log, what a crash leaves of a life's beginning is in nobody's way", async (t) => {
  const path = join(folder(t), "log.db");
  writeFileSync(`${path}.new`, "half a database");
  writeFileSync(`${path}.new-wal`, "and half a log of it");
  writeFileSync(`${path}.key`, "a key that fits nothing");
  await assert.rejects(reopen(path), { code: "not-found" });
  await using storage = await found(path);
  await storage.persist(persistOf({ entries: dataEntries(1, ["a"]) }));
  assert.deepEqual(readdirSync(join(path, "..")).toSorted(), [
    "log.db",
    "log.db-wal",
    "log.db.key",
  ]);
});

test("log, a renewed life keeps every entry and has this one member", async (t) => {
  const path = join(folder(t), "log.db");
  const three = {
    members: [1, 2, 3].map((id) => ({ id, voter: true, context: `${id}` })),
    removed: [4],
  };
  {
    await using storage = await found(path);
    const change: Entry = { kind: "membership", index: 1, term: 5, membership: three };
    const entries = [change, ...dataEntries(2, ["a", "b"], 5)];
    await storage.persist(persistOf({ hardState: { term: 6, votedFor: 2 }, entries }));
  }
  const life = { group: "renewed", serverId: 9, context: "nine" };
  const renewed = await renewStorage({ path, keyEncryption: inFile, ...life }, ports);
  await renewed[Symbol.asyncDispose]();
  await using storage = await reopen(path);
  for (const { group, serverId, durable } of [renewed, storage]) {
    assert.deepEqual([group, serverId], ["renewed", 9]);
    assert.deepEqual(durable.hardState, { term: 6, votedFor: undefined });
    assert.deepEqual(told(durable.entries).slice(1), ["2/5 a", "3/5 b", "4/6 membership"]);
    assert.deepEqual(durable.entries.at(-1), {
      kind: "membership",
      index: 4,
      term: 6,
      membership: {
        members: [{ id: 9, voter: true, context: "nine" }],
        removed: [4, 1, 2, 3],
      },
    });
  }
});

test("log, on a full disk persists fail with the path, and succeed again when there is room", async (t) => {
  const folder = smallDisk(t);
  const path = join(folder, "log.db");
  const ballast = join(folder, "ballast");
  const storage = await found(path);
  await storage.persist(persistOf({ entries: dataEntries(1, ["before"]) }));
  writeFileSync(ballast, Buffer.alloc(700 * 1024));
  const hardState = { term: 2, votedFor: 1 };
  const big = persistOf({ hardState, entries: dataEntries(2, ["x".repeat(500 * 1024)]) });
  const refused = {
    code: "resource-exhausted",
    message: `Cannot write the log "${path}": the disk is full; make room there`,
  };
  for (let attempt = 1; attempt <= 3; attempt++)
    await assert.rejects(storage.persist(big), refused);
  const snapshot = { index: 1, term: 1, membership };
  await assert.rejects(storage.writeSnapshot(snapshot, [Buffer.alloc(500 * 1024)], never), {
    code: "resource-exhausted",
  });
  rmSync(ballast);
  await storage.persist(persistOf({ entries: dataEntries(2, ["after"]) }));
  await storage[Symbol.asyncDispose]();
  await using again = await openStorage({ path, keyEncryption: inFile }, ports);
  assert.deepEqual(told(again.durable.entries), ["1/1 before", "2/1 after"]);
  assert.deepEqual(again.durable.hardState, { term: 0, votedFor: undefined });
  assert.equal(again.durable.snapshot.index, 0);
});

test("log, whatever a killed process was told is durable is there", async (t) => {
  const path = join(folder(t), "log.db");
  const program = fileURLToPath(new URL("./testing/persisting-writer.ts", import.meta.url));
  const acknowledged: string[] = [];
  for (const linesBeforeKill of [1, 60, 200, 500]) {
    const child = spawn(process.execPath, [program, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const exit = once(child, "exit");
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      lines += 1;
      if (lines === linesBeforeKill) child.kill("SIGKILL");
    }
    await exit;
    await using storage = await reopen(path);
    const pieces = await piecesOf(storage);
    const { snapshot, entries } = storage.durable;
    assert.equal(pieces.length, snapshot.index);
    const present = [...pieces, ...told(entries.filter(({ index }) => index > snapshot.index))];
    assert.deepEqual(
      acknowledged.filter((record) => !present.includes(record)),
      [],
    );
    const indexes = present.map((record) => Number(record.split("/")[0]));
    assert.deepEqual(
      indexes,
      indexes.map((_, offset) => offset + 1),
    );
  }
  assert.notDeepEqual(sql(path, "SELECT * FROM chunks"), []);
});
