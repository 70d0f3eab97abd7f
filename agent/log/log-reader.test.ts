import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { appendFile, link, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { LogChunk } from "./log-cursor.ts";
import { logPath } from "./log-files.ts";
import { chunksOf, readLog } from "./log-reader.ts";

const startMs = Date.UTC(2026, 0, 31, 12);

class LogOnDisk implements AsyncDisposable {
  readonly folder: string;
  readonly ended = new AbortController();
  readonly reading = new AbortController();

  constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<LogOnDisk> {
    return new LogOnDisk(await mkdtemp(join(tmpdir(), "swarm-log-")));
  }

  async append(from: number, to: number, path = logPath(this.folder)): Promise<void> {
    const line = (n: number) => `${new Date(startMs + n * 1000).toISOString()} stdout F ${n}\n`;
    const numbers = Array.from({ length: to - from + 1 }, (_, index) => from + index);
    await appendFile(path, numbers.map(line).join(""));
  }

  async *read(options: MessageInitShape<typeof LogOptionsSchema>): AsyncGenerator<number> {
    const source = {
      folder: this.folder,
      options: create(LogOptionsSchema, options),
      ended: this.ended.signal,
    };
    for await (const lines of readLog(source, this.reading.signal)) {
      for (const { data } of lines) yield Number(Buffer.from(data).toString());
    }
  }

  async texts(options: MessageInitShape<typeof LogOptionsSchema>): Promise<string[]> {
    const source = {
      folder: this.folder,
      options: create(LogOptionsSchema, options),
      ended: this.ended.signal,
    };
    const lines = (await Array.fromAsync(readLog(source, this.reading.signal))).flat();
    return lines.map(({ data }) => Buffer.from(data).toString());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reading.abort();
    await rm(this.folder, { recursive: true });
  }
}

test("readLog, all, tail and since: the lines that are there", async () => {
  await using log = await LogOnDisk.open();
  await log.append(1, 5_000);
  assert.equal((await Array.fromAsync(log.read({}))).length, 5_000);
  assert.deepEqual(await Array.fromAsync(log.read({ tail: 2n })), [4_999, 5_000]);
  assert.deepEqual(await Array.fromAsync(log.read({ tail: 0n })), []);
  const since = timestampFromMs(startMs + 4_998_500);
  assert.deepEqual(await Array.fromAsync(log.read({ since })), [4_999, 5_000]);
});

test("readLog, no log yet: nothing", async () => {
  await using log = await LogOnDisk.open();
  assert.deepEqual(await Array.fromAsync(log.read({})), []);
});

test("readLog, follow: what comes later, over a replaced file, to the task's end", {
  timeout: 10_000,
}, async () => {
  await using log = await LogOnDisk.open();
  const lines = log.read({ follow: true });
  const next = async (count: number) => {
    const seen: number[] = [];
    while (seen.length < count) seen.push((await lines.next()).value);
    return seen;
  };
  const first = next(2);
  await log.append(1, 2);
  assert.deepEqual(await first, [1, 2]);
  await log.append(3, 3);
  await writeFile(join(log.folder, "new"), "");
  await log.append(4, 5, join(log.folder, "new"));
  await link(logPath(log.folder), `${logPath(log.folder)}.1`);
  await rename(join(log.folder, "new"), logPath(log.folder));
  assert.deepEqual(await next(3), [3, 4, 5]);
  await log.append(6, 6);
  log.ended.abort();
  assert.deepEqual(await Array.fromAsync(lines), [6]);
});

test("readLog, follow: ends when the reader gives up", { timeout: 10_000 }, async () => {
  await using log = await LogOnDisk.open();
  const rest = Array.fromAsync(log.read({ follow: true }));
  log.reading.abort();
  assert.deepEqual(await rest, []);
});

test("readLog, any pieces in any files, any tail: the last lines of the whole", async () => {
  const piece = fc.record({ text: fc.string({ maxLength: 30 }), partial: fc.boolean() });
  const files = fc.array(fc.array(piece, { maxLength: 40 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(files, fc.nat(50), async (contents, tail) => {
      await using log = await LogOnDisk.open();
      for (const [index, pieces] of contents.entries()) {
        const number = contents.length - 1 - index;
        const path = number === 0 ? logPath(log.folder) : `${logPath(log.folder)}.${number}`;
        const time = new Date(startMs).toISOString();
        const lines = pieces.map(
          ({ text, partial }) =>
            `${time} stdout ${partial ? "P" : "F"} ${text.replaceAll("\n", " ")}\n`,
        );
        await writeFile(path, lines.join(""));
      }
      const all = await log.texts({});
      const wanted = tail === 0 ? [] : all.slice(-tail);
      assert.deepEqual(await log.texts({ tail: BigInt(tail) }), wanted);
    }),
    { numRuns: 100 },
  );
});

test("readLog, until: up to that time, and followed no longer than that", {
  timeout: 10_000,
}, async () => {
  await using log = await LogOnDisk.open();
  await log.append(1, 10);
  const until = timestampFromMs(startMs + 3000);
  assert.deepEqual(await Array.fromAsync(log.read({ until })), [1, 2, 3]);
  assert.deepEqual(await Array.fromAsync(log.read({ until, follow: true })), [1, 2, 3]);
  const since = timestampFromMs(startMs + 2000);
  assert.deepEqual(await Array.fromAsync(log.read({ since, until })), [2, 3]);
});

test("chunksOf, the task ends and is taken away during reading: the end, and no failure", async () => {
  const folder = await mkdtemp(join(tmpdir(), "swarm-log-"));
  const ended = new AbortController();
  const cursor = {
    async *read(): AsyncGenerator<LogChunk, void, undefined> {
      ended.abort();
      rmSync(folder, { recursive: true, force: true });
      yield* [];
    },
  };
  const source = { folder, follow: true, ended: ended.signal };
  const { signal } = new AbortController();
  assert.deepEqual(await Array.fromAsync(chunksOf(source, cursor, signal)), []);
});
