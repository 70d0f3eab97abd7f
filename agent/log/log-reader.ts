/**
 * Reads a task's log file: all of it or its tail, then, when wished, what is appended, woken by inotify. conmon replaces
 * the file by a new one when it has grown too large; the reader finishes the old one and goes on with the new one.
 */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { LogOptions, LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { LogAssembler, type LogLine } from "./k8s-file.ts";

export interface LogSource {
  readonly path: string;
  /** Unset: everything that is there. */
  readonly options: LogOptions | undefined;
  /** Aborts when nothing will be appended any more: then following ends. */
  readonly ended: AbortSignal;
}

export interface ReadLine {
  readonly timestamp: Timestamp;
  readonly stream: LogStream;
  readonly data: Uint8Array;
}

const chunkBytes = 64 * 1024;

export async function* readLog(
  source: LogSource,
  signal: AbortSignal,
): AsyncGenerator<ReadLine, void, undefined> {
  const follow = source.options?.follow === true;
  const sinceNs = nsOf(source.options?.since);
  using alarm = follow ? new Alarm(source, signal) : undefined;
  await using reader = new LogFile(source.path);
  for await (const line of lastLines(reader, source.options?.tail)) {
    if (line.timestampNs >= sinceNs) yield toReadLine(line);
  }
  for (;;) {
    if (alarm === undefined || signal.aborted) break;
    const over = source.ended.aborted;
    for await (const line of reader.read()) {
      if (line.timestampNs >= sinceNs) yield toReadLine(line);
      if (signal.aborted) return;
    }
    // Asked before the last reading, so that nothing which was written before the end is missed.
    if (over) break;
    await alarm.wait();
  }
  for (const line of reader.flush()) if (line.timestampNs >= sinceNs) yield toReadLine(line);
}

/** What is there now; with `tail` only so many lines of its end, kept while reading. */
async function* lastLines(
  reader: LogFile,
  tail: bigint | undefined,
): AsyncGenerator<LogLine, void, undefined> {
  if (tail === undefined) {
    yield* reader.read();
    return;
  }
  const count = Number(tail);
  let kept: LogLine[] = [];
  for await (const line of reader.read()) {
    kept.push(line);
    // Cut now and then: cutting at each line would move them all each time.
    if (kept.length >= 2 * count + 256) kept = lastOf(kept, count);
  }
  yield* lastOf(kept, count);
}

function lastOf(lines: readonly LogLine[], count: number): LogLine[] {
  return count === 0 ? [] : lines.slice(-count);
}

/** The log file from its beginning; each reading goes on where the one before ended. */
class LogFile {
  readonly #path: string;
  readonly #assembler = new LogAssembler();
  #file: FileHandle | undefined;
  #offset = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async *read(): AsyncGenerator<LogLine, void, undefined> {
    this.#file ??= await openIfThere(this.#path);
    while (this.#file !== undefined) {
      yield* this.#readRest(this.#file);
      if (!(await this.#isReplaced(this.#file))) return;
      // What was written between the last reading and the replacement.
      yield* this.#readRest(this.#file);
      await this.#file.close();
      this.#file = await openIfThere(this.#path);
      this.#offset = 0;
    }
  }

  flush(): LogLine[] {
    return this.#assembler.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async *#readRest(file: FileHandle): AsyncGenerator<LogLine, void, undefined> {
    for (;;) {
      const { bytesRead, buffer } = await file.read({
        buffer: Buffer.allocUnsafe(chunkBytes),
        position: this.#offset,
      });
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      yield* this.#assembler.push(buffer.subarray(0, bytesRead));
    }
  }

  async #isReplaced(file: FileHandle): Promise<boolean> {
    try {
      const [here, there] = await Promise.all([file.stat(), stat(this.#path)]);
      return here.ino !== there.ino;
    } catch (error) {
      // Removed with its task: there is nothing to go on with.
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    }
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw Fault.wrap("Cannot read the task's log", error);
  }
}

/** Rings when the log file was written to, the task has ended or the reader gives up; rings that nobody awaits are kept. */
class Alarm {
  readonly #watcher: FSWatcher;
  readonly #signals: readonly AbortSignal[];
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(source: LogSource, signal: AbortSignal) {
    const name = basename(source.path);
    // The folder, because the file may not be there yet, or be replaced.
    this.#watcher = watch(dirname(source.path), (_event, changed) => {
      if (changed === null || changed === name) this.#ring();
    });
    this.#watcher.on("error", this.#ring);
    this.#signals = [source.ended, signal];
    for (const ending of this.#signals) ending.addEventListener("abort", this.#ring);
  }

  async wait(): Promise<void> {
    if (!this.#rung && !this.#signals.some(({ aborted }) => aborted)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#rung = false;
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    for (const ending of this.#signals) ending.removeEventListener("abort", this.#ring);
  }

  readonly #ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };
}

function nsOf(timestamp: Timestamp | undefined): bigint {
  return timestamp === undefined
    ? 0n
    : timestamp.seconds * 1_000_000_000n + BigInt(timestamp.nanos);
}

function toReadLine({ timestampNs, stream, data }: LogLine): ReadLine {
  const seconds = timestampNs / 1_000_000_000n;
  const nanos = Number(timestampNs % 1_000_000_000n);
  return { timestamp: create(TimestampSchema, { seconds, nanos }), stream, data };
}
