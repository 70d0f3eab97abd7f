import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import { silentLog } from "#proto/system-ports.ts";
import type { LogEntry, Rejection, StateMachine } from "../store/log.ts";
import { SqliteLog } from "./sqlite-log.ts";

/** Remembers what was applied, in order, as "index text". */
class Memory implements StateMachine {
  records: string[] = [];
  restoredAt: bigint | undefined;
  rejection: Rejection;

  apply({ index, data }: LogEntry): Rejection {
    this.records.push(`${index} ${Buffer.from(data).toString()}`);
    return this.rejection;
  }

  snapshot(): Iterable<Uint8Array> {
    return this.records.map((record) => Buffer.from(record));
  }

  restore(index: bigint, pieces: Iterable<Uint8Array>): void {
    this.restoredAt = index;
    this.records = [...pieces].map((piece) => Buffer.from(piece).toString());
  }
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "swarm-log-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A file system of 1 MiB. */
function smallDisk(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "swarm-log-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "swarm-log-test", path]);
  t.after(() => {
    execFileSync("umount", [path]);
    rmSync(path, { recursive: true });
  });
  return path;
}

async function open(path: string, snapshotInterval = 10_000) {
  const machine = new Memory();
  const log = await SqliteLog.open({ path, snapshotInterval }, { machine, log: silentLog });
  return { machine, log };
}

function sql(path: string, statement: string): unknown[] {
  using database = new DatabaseSync(path);
  return database.prepare(statement).all();
}

test("log, what was proposed is applied in order and there after reopening", async (t) => {
  const path = join(folder(t), "manager", "log.db");
  const texts = Array.from({ length: 100 }, (_, index) => `entry ${index}`);
  const first = await open(path);
  await Promise.all(texts.map((text) => first.log.propose(Buffer.from(text))));
  await first.log[Symbol.asyncDispose]();
  const expected = texts.map((text, index) => `${index + 1} ${text}`);
  assert.deepEqual(first.machine.records, expected);
  const second = await open(path);
  await second.log[Symbol.asyncDispose]();
  assert.deepEqual(second.machine.records, expected);
});

test("log, a proposal resolves with what applying it said", async (t) => {
  const { machine, log } = await open(join(folder(t), "log.db"));
  await using _log = log;
  assert.equal(await log.propose(Buffer.from("a")), undefined);
  machine.rejection = new Fault("conflict", "no");
  assert.equal(await log.propose(Buffer.from("b")), machine.rejection);
});

test("log, disposed it first writes what was proposed and then takes no more", async (t) => {
  const path = join(folder(t), "log.db");
  const { log } = await open(path);
  const proposals = ["a", "b", "c"].map((text) => log.propose(Buffer.from(text)));
  await log[Symbol.asyncDispose]();
  await Promise.all(proposals);
  await assert.rejects(log.propose(Buffer.from("d")), { code: "unavailable" });
  const again = await open(path);
  await again.log[Symbol.asyncDispose]();
  assert.deepEqual(again.machine.records, ["1 a", "2 b", "3 c"]);
});

test("log, a snapshot takes the place of the entries that it covers", async (t) => {
  const path = join(folder(t), "log.db");
  const first = await open(path, 10);
  for (let count = 1; count <= 35; count++) await first.log.propose(Buffer.from(`${count}`));
  await first.log[Symbol.asyncDispose]();
  const [row] = sql(path, "SELECT count(*) AS entries FROM entries") as { entries: number }[];
  assert.ok(row !== undefined && row.entries < 35, `${row?.entries} entries are left`);
  const second = await open(path, 10);
  assert.ok((second.machine.restoredAt ?? 0n) >= 10n);
  assert.deepEqual(second.machine.records, first.machine.records);
  await second.log.propose(Buffer.from("36"));
  assert.equal(second.machine.records.at(-1), "36 36");
  await second.log[Symbol.asyncDispose]();
});

test("log, pieces of a snapshot that a crash cut short are ignored", async (t) => {
  const path = join(folder(t), "log.db");
  const first = await open(path);
  await first.log.propose(Buffer.from("a"));
  await first.log[Symbol.asyncDispose]();
  sql(path, "INSERT INTO pieces VALUES (1, 0, x'00', 0)");
  const second = await open(path);
  await second.log[Symbol.asyncDispose]();
  assert.deepEqual([second.machine.restoredAt, second.machine.records], [undefined, ["1 a"]]);
  assert.deepEqual(sql(path, "SELECT * FROM pieces"), []);
});

test("log, a second opener is refused while the first has it", async (t) => {
  const path = join(folder(t), "log.db");
  const { log } = await open(path);
  await using _log = log;
  await assert.rejects(open(path), {
    code: "failed-precondition",
    message: `Cannot open the log "${path}": another process has it open; stop that one first`,
  });
});

const damages = [
  ["UPDATE entries SET data = x'00' WHERE entry = 2", /entry 2 does not match its checksum/],
  ["UPDATE entries SET entry = 9 WHERE entry = 3", /entry 3 is missing/],
  ["DELETE FROM entries WHERE entry = 1", /entry 1 is missing/],
] as const;
for (const [statement, message] of damages) {
  test(`log, damage is named: ${message.source}`, async (t) => {
    const path = join(folder(t), "log.db");
    const { log } = await open(path);
    for (const text of ["a", "b", "c"]) await log.propose(Buffer.from(text));
    await log[Symbol.asyncDispose]();
    sql(path, statement);
    await assert.rejects(open(path), (fault: Fault) => {
      assert.equal(fault.code, "data-loss");
      assert.ok(fault.message.includes(path));
      assert.match(fault.message, message);
      return true;
    });
  });
}

test("log, a damaged snapshot is named", async (t) => {
  const path = join(folder(t), "log.db");
  const { log } = await open(path, 3);
  for (const text of ["a", "b", "c", "d"]) await log.propose(Buffer.from(text));
  await log[Symbol.asyncDispose]();
  const index = (sql(path, "SELECT snapshot FROM state") as { snapshot: number }[])[0]?.snapshot;
  sql(path, "UPDATE pieces SET data = x'00' WHERE piece = 1");
  await assert.rejects(open(path), {
    code: "data-loss",
    message: new RegExp(`piece 1 of snapshot ${index} does not match its checksum`),
  });
  sql(path, "DELETE FROM pieces WHERE piece > 0");
  await assert.rejects(open(path), { message: /pieces of snapshot \d+ are missing/ });
});

test("log, a file that is no database is named", async (t) => {
  const path = join(folder(t), "log.db");
  writeFileSync(path, "this is not a database, though it is long enough for one".repeat(20));
  await assert.rejects(open(path), (fault: Fault) => {
    assert.equal(fault.code, "data-loss");
    return fault.message.includes(path);
  });
});

test("log, on a full disk writes fail with the path, and succeed again when there is room", async (t) => {
  const path = smallDisk(t);
  const file = join(path, "log.db");
  const ballast = join(path, "ballast");
  const { machine, log } = await open(file);
  await using _log = log;
  await log.propose(Buffer.from("before"));
  writeFileSync(ballast, Buffer.alloc(700 * 1024));
  const big = Buffer.alloc(500 * 1024, "x");
  const refused = {
    code: "resource-exhausted",
    message: new RegExp(`"${file}": the disk is full`),
  };
  await assert.rejects(log.propose(big), refused);
  await assert.rejects(log.propose(big), refused);
  rmSync(ballast);
  await log.propose(Buffer.from("after"));
  await log[Symbol.asyncDispose]();
  assert.deepEqual(machine.records, ["1 before", "2 after"]);
  const again = await open(file);
  await again.log[Symbol.asyncDispose]();
  assert.deepEqual(again.machine.records, machine.records);
});

test("log, whatever a killed process acknowledged is there", async (t) => {
  const path = join(folder(t), "log.db");
  const program = fileURLToPath(new URL("./testing/acknowledging-writer.ts", import.meta.url));
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
    const { machine, log } = await open(path);
    await log[Symbol.asyncDispose]();
    const present = new Set(machine.records);
    assert.deepEqual(
      acknowledged.filter((record) => !present.has(record)),
      [],
    );
    const indexes = machine.records.map((record) => Number(record.split(" ")[0]));
    assert.deepEqual(
      indexes,
      indexes.map((_, offset) => offset + 1),
    );
  }
});

test("log, an entry that is too large is refused and the log goes on", async (t) => {
  const machine = new Memory();
  await using log = await SqliteLog.open(
    { path: join(folder(t), "log.db"), entryBytesMax: 10 },
    { machine, log: silentLog },
  );
  await assert.rejects(log.propose(Buffer.from("12345678901")), {
    code: "resource-exhausted",
    message: "a write of 11 bytes is over the 10 that the log takes at once",
  });
  await log.propose(Buffer.from("1234567890"));
  assert.deepEqual(machine.records, ["1 1234567890"]);
});
