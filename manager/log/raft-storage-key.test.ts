import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { createStorage, isLocked, type KeyEncryption, openStorage } from "./raft-storage.ts";
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
  sql,
  told,
} from "./testing/storage-fixture.ts";

const secret = "the secret text of an entry";

function newUnlocking(): { readonly kind: "unlock-key"; readonly key: string } {
  return { kind: "unlock-key", key: newUnlockKey(systemRandom) };
}

/** Entry 1 and 2, a snapshot at 1. */
async function withContent(path: string, keyEncryption: KeyEncryption): Promise<void> {
  const life = { group: "group", serverId: 1, snapshot: beginning };
  await using storage = await createStorage({ path, keyEncryption, ...life }, ports);
  await storage.persist(persistOf({ entries: dataEntries(1, [secret, "second"]) }));
  await storage.writeSnapshot({ index: 1, term: 1, membership }, [Buffer.from(secret)], never);
}

async function checkContent(path: string, keyEncryption: KeyEncryption): Promise<void> {
  await using storage = await openStorage({ path, keyEncryption }, ports);
  assert.deepEqual(told(storage.durable.entries), [`1/1 ${secret}`, "2/1 second"]);
  assert.deepEqual(await piecesOf(storage), [secret]);
}

async function rekey(path: string, from: KeyEncryption, to: KeyEncryption): Promise<void> {
  await using storage = await openStorage({ path, keyEncryption: from }, ports);
  await storage.rekey(to);
}

async function assertLocked(path: string, keyEncryption: KeyEncryption): Promise<string> {
  try {
    await checkContent(path, keyEncryption);
  } catch (thrown) {
    assert.ok(thrown instanceof Fault && thrown.code === "failed-precondition");
    assert.ok(isLocked(thrown) && isLocked(Fault.wrap("Cannot start the manager", thrown)));
    assert.match(thrown.message, /swarmctl cluster unlock/);
    if (keyEncryption.kind === "unlock-key") assert.ok(!thrown.message.includes(keyEncryption.key));
    return thrown.message;
  }
  return assert.fail("it opened");
}

function assertNothingReadable(path: string): void {
  for (const name of readdirSync(dirname(path))) {
    const bytes = readFileSync(join(dirname(path), name));
    assert.ok(!bytes.includes(secret), name);
  }
}

test("log, nothing of what it holds can be read from the disk", async (t) => {
  const path = join(folder(t), "log.db");
  await using storage = await found(path);
  await storage.persist(persistOf({ entries: dataEntries(1, [secret]) }));
  await storage.persist(
    persistOf({ chunk: { meta: beginning, chunk: 0, data: new Uint8Array() } }),
  );
  await storage.writeSnapshot({ index: 1, term: 1, membership }, [Buffer.from(secret)], never);
  assertNothingReadable(path);
  await storage[Symbol.asyncDispose]();
  assertNothingReadable(path);
});

test("log, locked it opens with its unlock key and no other", async (t) => {
  const path = join(folder(t), "log.db");
  const key = newUnlocking();
  await withContent(path, key);
  assert.deepEqual(readdirSync(dirname(path)), ["log.db"]);
  await checkContent(path, key);
  assert.match(await assertLocked(path, inFile), /is locked: unlock it/);
  assert.match(await assertLocked(path, newUnlocking()), /locked with another unlock key/);
  await assert.rejects(
    checkContent(path, { kind: "unlock-key", key: "SWMKEY-1-short" }),
    (thrown: Fault) => thrown.code === "invalid-argument" && !isLocked(thrown),
  );
  await checkContent(path, key);
});

test("log, locking, a new unlock key and unlocking take effect at once", async (t) => {
  const path = join(folder(t), "log.db");
  const [first, second] = [newUnlocking(), newUnlocking()];
  await withContent(path, inFile);
  await rekey(path, inFile, first);
  assert.equal(existsSync(`${path}.key`), false);
  await assertLocked(path, inFile);
  await rekey(path, first, second);
  await assertLocked(path, first);
  await checkContent(path, second);
  await rekey(path, second, second);
  await rekey(path, second, inFile);
  // Who still has the key of before is not turned away.
  await checkContent(path, second);
  await checkContent(path, inFile);
  await rekey(path, inFile, inFile);
  await checkContent(path, inFile);
});

test("log, locking makes a new data key and seals every record with it, another unlock key does not", async (t) => {
  const path = join(folder(t), "log.db");
  const records = () => [
    ...sql(path, "SELECT sealed FROM entries"),
    ...sql(path, "SELECT sealed FROM chunks"),
    ...sql(path, "SELECT sealed FROM state"),
  ];
  const key = newUnlocking();
  await withContent(path, inFile);
  const open = records();
  await rekey(path, inFile, key);
  const locked = records();
  assert.equal(locked.length, 4);
  for (const [number, record] of locked.entries()) assert.notDeepEqual(record, open[number]);
  await rekey(path, key, newUnlocking());
  assert.deepEqual(records(), locked);
});

test("log, it goes on writing while and after it is locked", async (t) => {
  const path = join(folder(t), "log.db");
  const key = newUnlocking();
  const storage = await found(path);
  const texts = Array.from({ length: 3000 }, (_, index) => `${index}`);
  const calls = texts.map((text, offset) =>
    storage.persist(persistOf({ entries: dataEntries(offset + 1, [text]) })),
  );
  await calls[0];
  await Promise.all([storage.rekey(key), ...calls]);
  await storage.persist(persistOf({ entries: dataEntries(3001, ["after"]) }));
  await storage[Symbol.asyncDispose]();
  await using again = await openStorage({ path, keyEncryption: key }, ports);
  assert.deepEqual(told(again.durable.entries), told(dataEntries(1, [...texts, "after"])));
});

test("log, a key file that a stopped locking or unlocking left behind is of no use and goes", async (t) => {
  const path = join(folder(t), "log.db");
  const key = newUnlocking();
  await withContent(path, key);
  writeFileSync(`${path}.key`, systemRandom.bytes(32));
  await assertLocked(path, inFile);
  await checkContent(path, key);
  assert.equal(existsSync(`${path}.key`), false);
});

test("log, a key file that is missing or another is named", async (t) => {
  const path = join(folder(t), "log.db");
  await withContent(path, inFile);
  const cases = [
    [systemRandom.bytes(32), /the key in ".*log\.db\.key" does not open it/],
    [systemRandom.bytes(31), /its key file ".*log\.db\.key" does not have 32 bytes/],
    [undefined, /its key file ".*log\.db\.key" is missing/],
  ] as const;
  for (const [bytes, message] of cases) {
    if (bytes === undefined) rmSync(`${path}.key`);
    else writeFileSync(`${path}.key`, bytes);
    await assert.rejects(reopen(path), { code: "data-loss", message });
  }
});

test("log, killed at any moment of a change of keys it opens with the old one or the new", async (t) => {
  const path = join(folder(t), "log.db");
  const program = fileURLToPath(new URL("./testing/rekeying-writer.ts", import.meta.url));
  const ways: readonly KeyEncryption[] = [inFile, newUnlocking(), newUnlocking()];
  await withContent(path, inFile);
  let current = 0;
  for (const linesBeforeKill of [1, 2, 3, 4, 5, 9, 14]) {
    const child = spawn(process.execPath, [program, path, `${current}`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    child.stdin.end(JSON.stringify(ways));
    const exit = once(child, "exit");
    let lines = 0;
    let done = current;
    for await (const line of createInterface({ input: child.stdout })) {
      done = Number(line);
      lines += 1;
      if (lines === linesBeforeKill) child.kill("SIGKILL");
    }
    await exit;
    const opened: number[] = [];
    for (const [way, keyEncryption] of ways.entries()) {
      try {
        await checkContent(path, keyEncryption);
        opened.push(way);
      } catch (thrown) {
        assert.ok(isLocked(thrown), String(thrown));
      }
    }
    const next = (done + 1) % ways.length;
    assert.ok(opened.includes(done) || opened.includes(next), `${done}: ${opened.join()}`);
    // With a key file, any unlock key opens it.
    current = opened.length > 1 ? 0 : (opened[0] ?? 0);
  }
});
