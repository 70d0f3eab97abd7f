import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { chunkBytesMin } from "./chunk.ts";
import { damaged } from "./damage.ts";
import { unpackEntries } from "./entry-pack.ts";
import { describeFailure } from "./log-failure.ts";
import { LogFile } from "./log-file.ts";
import {
  dataEntries,
  folder,
  found,
  inFile,
  membership,
  never,
  persistOf,
  reopen,
  sql,
  told,
} from "./testing/storage-fixture.ts";

/** What the file at `path` holds, read in this thread, or how it fails. */
function contentOf(path: string): unknown {
  let file: LogFile | undefined;
  try {
    file = LogFile.open({ path, keyEncryption: inFile }, systemRandom);
    const { head } = file;
    const entries: string[] = [];
    while (head.firstIndex + entries.length <= head.lastIndex) {
      const after = head.firstIndex + entries.length - 1;
      entries.push(...told(unpackEntries(file.readEntries(after))));
    }
    const chunks: string[] = [];
    for (let last = false; !last; ) {
      const chunk = file.readChunk(head.snapshot.index, chunks.length);
      assert.ok(chunk !== undefined);
      chunks.push(Buffer.from(chunk.data).toString());
      last = chunk.last;
    }
    return { head, entries, chunks };
  } catch (thrown) {
    return describeFailure(path, "open", thrown);
  } finally {
    file?.[Symbol.dispose]();
  }
}

/** Entries 1 … 40 of terms 1 … 40, a snapshot at 10 with two pieces. */
async function written(t: TestContext, pieceBytes: number): Promise<string> {
  const path = join(folder(t), "log.db");
  await using storage = await found(path);
  for (let index = 1; index <= 40; index++) {
    const entries = dataEntries(index, [`${index} `.repeat(100)], index);
    await storage.persist(persistOf({ hardState: { term: index, votedFor: 1 }, entries }));
  }
  const pieces = ["a", "b"].map((text) => Buffer.from(text.repeat(pieceBytes)));
  await storage.writeSnapshot({ index: 10, term: 10, membership }, pieces, never);
  return path;
}

const damages = [
  ["UPDATE entries SET sealed = x'00' WHERE entry = 12", /entry 12 does not match its seal/],
  ["UPDATE entries SET term = 13 WHERE entry = 12", /entry 12 does not match its seal/],
  ["UPDATE entries SET kind = 'term-start' WHERE entry = 12", /entry 12 does not match its seal/],
  ["UPDATE entries SET kind = 'x' WHERE entry = 12", /entry 12 does not match its seal/],
  [
    "UPDATE entries SET sealed = (SELECT sealed FROM entries WHERE entry = 13) WHERE entry = 12",
    /entry 12 does not match its seal/,
  ],
  ["DELETE FROM entries WHERE entry = 12", /entry 12 is missing/],
  ["DELETE FROM entries WHERE entry = 1", /of the entries 1…40 it has 2…40/],
  ["DELETE FROM entries WHERE entry = 40", /of the entries 1…40 it has 1…39/],
  ["DELETE FROM entries", /of the entries 1…40 it has none/],
  ["UPDATE entries SET entry = 41 WHERE entry = 12", /of the entries 1…40 it has 1…41/],
  ["DELETE FROM chunks WHERE chunk = 1", /chunk 1 of snapshot 10 is missing/],
  ["UPDATE chunks SET sealed = x'' WHERE chunk = 0", /chunk 0 of snapshot 10 does not match/],
  ["UPDATE chunks SET chunk = chunk + 5", /chunk 0 of snapshot 10 is missing/],
  ["DELETE FROM state", /its state record does not match its seal/],
  ["UPDATE state SET sealed = zeroblob(100)", /its state record does not match its seal/],
  ["UPDATE data_key SET kind = 'unlock-key'", /its data key does not match its checksum/],
  ["UPDATE data_key SET wrapped = zeroblob(60)", /its data key does not match its checksum/],
  ["DELETE FROM data_key", /its data key does not match its checksum/],
  ["DROP TABLE entries", /no such table: entries/],
] as const;
test("log, damage is named with its file and record", async (t) => {
  // Of this size each has a chunk of its own.
  const whole = await written(t, chunkBytesMin);
  const path = join(folder(t), "log.db");
  copyFileSync(`${whole}.key`, `${path}.key`);
  for (const [statement, message] of damages) {
    copyFileSync(whole, path);
    sql(path, statement);
    await assert.rejects(
      reopen(path),
      (fault: Fault) => {
        assert.equal(fault.code, "data-loss");
        assert.ok(fault.message.startsWith(`the log "${path}" is damaged: `), fault.message);
        assert.match(fault.message, message);
        assert.match(fault.message, /demote this one and promote it again/);
        return true;
      },
      statement,
    );
  }
  copyFileSync(whole, path);
  await (await reopen(path))[Symbol.asyncDispose]();
});

test("log, damage that is found later ends the log, a request that cannot be carried out does not", () => {
  const damage = describeFailure("log.db", "read-chunk", damaged("log.db", "chunk 0 is missing"));
  assert.equal(damage.fatal, true);
  assert.match(damage.message, /chunk 0 is missing/);
  const refused = new Fault("internal", "entry 9 is not covered by snapshot 4");
  assert.equal(describeFailure("log.db", "drop-entries", refused).fatal, false);
});

test("log, a changed byte anywhere in the file is named or changes nothing", async (t) => {
  const whole = await written(t, 20_000);
  const path = join(folder(t), "log.db");
  copyFileSync(`${whole}.key`, `${path}.key`);
  const bytes = readFileSync(whole);
  const expected = contentOf(whole);
  const pageBytes = 4096;
  let named = 0;
  for (let page = 0; page < bytes.length; page += pageBytes) {
    // The page's head with its pointers, its middle, and its end, where SQLite puts the first records.
    for (const offset of [0, 3, 5, 7, 9, 101, 2048, 3000, pageBytes - 7]) {
      const at = page + offset;
      const original = bytes[at] ?? 0;
      bytes[at] = original ^ (1 << (at % 8));
      writeFileSync(path, bytes);
      bytes[at] = original;
      const content = contentOf(path);
      if (isFailure(content)) {
        named += 1;
        assert.ok(["data-loss", "failed-precondition"].includes(content.code), content.message);
        assert.ok(content.message.includes(path), content.message);
      } else {
        assert.deepEqual(content, expected, `byte ${at}`);
      }
    }
  }
  const tried = (bytes.length / pageBytes) * 9;
  assert.ok(named > tried / 2, `${named} of ${tried}`);
});

function isFailure(content: unknown): content is { code: string; message: string } {
  return typeof content === "object" && content !== null && "code" in content;
}

interface Crashed {
  readonly database: Buffer;
  readonly wal: Buffer;
}

/** Persists entry 1, 2, …, each with its term, and tells the files as a power loss finds them: nothing is closed. */
async function* crashes(path: string, count: number, entryBytes: number): AsyncGenerator<Crashed> {
  await using storage = await found(path);
  for (let index = 1; index <= count; index++) {
    const entries = dataEntries(index, ["x".repeat(entryBytes)], index);
    await storage.persist(persistOf({ hardState: { term: index, votedFor: 1 }, entries }));
    yield { database: readFileSync(path), wal: readFileSync(`${path}-wal`) };
  }
}

/** The WAL cut, garbled and zeroed there. */
function spoilt(wal: Buffer, at: number): Buffer[] {
  const garbled = Buffer.from(wal).fill(0x5a, at, at + 700);
  return [wal.subarray(0, at), garbled, Buffer.from(wal).fill(0, at)];
}

/** The last index, after checking that no entry before it is missing or of another time. */
function checkPrefix(content: unknown): number {
  assert.ok(!isFailure(content), isFailure(content) ? content.message : "");
  const { head, entries } = content as { head: LogFile["head"]; entries: string[] };
  assert.equal(head.hardState.term, head.lastIndex);
  assert.deepEqual(
    entries.map((entry) => entry.split(" ")[0]),
    Array.from({ length: head.lastIndex }, (_, offset) => `${offset + 1}/${offset + 1}`),
  );
  return head.lastIndex;
}

test("log, a torn or garbled end of what was last written leaves what was before, without a hole", async (t) => {
  const path = join(folder(t), "log.db");
  const crashed = (await Array.fromAsync(crashes(path, 40, 300))).at(-1);
  assert.ok(crashed !== undefined);
  const copy = join(folder(t), "log.db");
  copyFileSync(`${path}.key`, `${copy}.key`);
  writeFileSync(copy, crashed.database);
  writeFileSync(`${copy}-wal`, crashed.wal);
  const seen = new Set([checkPrefix(contentOf(copy))]);
  for (let at = 0; at <= crashed.wal.length; at += 4951) {
    for (const wal of spoilt(crashed.wal, at)) {
      writeFileSync(copy, crashed.database);
      writeFileSync(`${copy}-wal`, wal);
      seen.add(checkPrefix(contentOf(copy)));
    }
  }
  assert.deepEqual(
    [...seen].toSorted((a, b) => a - b),
    Array.from({ length: 41 }, (_, index) => index),
  );
});

test("log, a WAL that is garbled where it is in the file already leaves no hole unnamed", async (t) => {
  const path = join(folder(t), "log.db");
  const copy = join(folder(t), "log.db");
  let before: Crashed | undefined;
  let tried = 0;
  for await (const crashed of crashes(path, 400, 20_000)) {
    const { database, wal } = crashed;
    // SQLite carried the WAL over into the file, and has not begun to write over it.
    const carriedOver = before !== undefined && !before.database.equals(database);
    before = crashed;
    if (!carriedOver) continue;
    copyFileSync(`${path}.key`, `${copy}.key`);
    for (let at = 0; at < wal.length; at += 101_111) {
      for (const left of spoilt(wal, at)) {
        writeFileSync(copy, database);
        writeFileSync(`${copy}-wal`, left);
        const content = contentOf(copy);
        if (isFailure(content)) assert.equal(content.code, "data-loss", content.message);
        else checkPrefix(content);
        tried += 1;
      }
    }
    break;
  }
  assert.ok(tried > 100, `${tried}`);
});

test("log, a file of which the end is missing is named", async (t) => {
  const path = await written(t, 20_000);
  const bytes = readFileSync(path);
  for (let length = 0; length < bytes.length; length += 5000) {
    writeFileSync(path, bytes.subarray(0, length));
    const content = contentOf(path);
    assert.ok(isFailure(content) && content.message.includes(path), `${length} bytes`);
    rmSync(`${path}-wal`, { force: true });
  }
});

test("log, a file that is no database, or of another format, is named", async (t) => {
  const path = await written(t, 20_000);
  sql(path, "PRAGMA user_version = 1");
  await assert.rejects(reopen(path), {
    code: "failed-precondition",
    message: `the log "${path}" has format 1, this program reads 2: use the version of the program that wrote it`,
  });
  writeFileSync(path, "this is not a database, though it is long enough for one".repeat(20));
  await assert.rejects(reopen(path), (fault: Fault) => {
    assert.equal(fault.code, "data-loss");
    return fault.message.includes(path);
  });
  assert.ok(statSync(path).size > 0);
});
