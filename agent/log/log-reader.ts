/**
 * Reads a task's log: all of it or its tail, then, when wished, what is appended. Who waits costs nothing: inotify wakes
 * it, and is asked only when there is nothing left to read, so a busy task's log is not watched but read.
 */
import { type FSWatcher, watch } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { LogOptions, LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import type { LogLine } from "./k8s-file.ts";
import { type LogChunk, LogCursor } from "./log-cursor.ts";

export interface LogSource {
  /** The task's folder, which has its log's files. */
  readonly folder: string;
  /** Unset: everything that is there. */
  readonly options: LogOptions | undefined;
  /** Aborts when nothing will be appended any more: then following ends. */
  readonly ended: AbortSignal;
}

export interface ReadLine {
  readonly timestamp: Timestamp;
  readonly stream: LogStream;
  readonly data: Uint8Array;
  readonly partial: boolean;
  /** No line of the task's: `data` says what is missing before the next. */
  readonly dropped?: true;
}

/** Lines as they come, some at a time. Nothing is read that nobody asks for. */
export async function* readLog(
  source: LogSource,
  signal: AbortSignal,
): AsyncGenerator<readonly ReadLine[], void, undefined> {
  using cursor = new LogCursor(source.folder);
  const filter = new Filter(source.options);
  await filter.seek(cursor);
  const follow = source.options?.follow === true;
  for await (const chunk of chunksOf({ ...source, follow }, cursor, signal)) {
    const lines = filter.pass(chunk);
    if (lines.length > 0) yield lines;
    if (filter.isOver || signal.aborted) return;
  }
  if (signal.aborted) return;
  const lines = filter.pass({ lines: cursor.flush(), dropped: false });
  if (lines.length > 0) yield lines;
}

/** What the log has from the cursor on; with `follow` until it has ended, else what there is now. */
export async function* chunksOf(
  { folder, follow, ended }: Pick<LogSource, "folder" | "ended"> & { readonly follow: boolean },
  cursor: Pick<LogCursor, "read">,
  signal: AbortSignal,
): AsyncGenerator<LogChunk, void, undefined> {
  while (!signal.aborted) {
    // Asked before reading, so that nothing which was written before the end is missed.
    const isLast = !follow || ended.aborted;
    let found = false;
    for await (const chunk of cursor.read()) {
      found = true;
      yield chunk;
    }
    if (isLast) return;
    // A task that has ended may be taken away at any time, and its folder with it.
    if (found || ended.aborted) continue;
    using alarm = new Alarm(folder, [ended, signal]);
    // What came between reading and watching.
    for await (const chunk of cursor.read()) {
      found = true;
      yield chunk;
    }
    if (!found) await alarm.rung;
  }
}

/** What of a log its reader wants: from a time on, to a time, and when something is missing a word about it. */
class Filter {
  readonly #options: LogOptions | undefined;
  readonly #sinceNs: bigint;
  readonly #untilNs: bigint | undefined;
  #lastNs: bigint | undefined;
  isOver = false;

  constructor(options: LogOptions | undefined) {
    this.#options = options;
    this.#sinceNs = options?.since === undefined ? 0n : nsOf(options.since);
    this.#untilNs = options?.until && nsOf(options.until);
  }

  async seek(cursor: LogCursor): Promise<void> {
    const tail = this.#options?.tail;
    if (tail !== undefined) await cursor.seekTail(Number(tail));
    else if (this.#sinceNs > 0n) await cursor.seekTime(this.#sinceNs);
  }

  pass({ lines, dropped }: LogChunk): ReadLine[] {
    const passed: ReadLine[] = [];
    const [first] = lines;
    if (dropped && first !== undefined) passed.push(droppedLine(this.#lastNs, first));
    for (const line of lines) {
      if (this.#untilNs !== undefined && line.timestampNs > this.#untilNs) {
        this.isOver = true;
        return passed;
      }
      this.#lastNs = line.timestampNs;
      if (line.timestampNs >= this.#sinceNs) passed.push(toReadLine(line));
    }
    return passed;
  }
}

/** Stands where the lines would have been that nobody can read any more. */
function droppedLine(lastNs: bigint | undefined, next: LogLine): ReadLine {
  const from = lastNs === undefined ? "" : ` after ${textOf(lastNs)} and`;
  const text = `lines were dropped: those${from} before ${textOf(next.timestampNs)}. The log's files were filled faster than they were read`;
  return { ...toReadLine(next), data: Buffer.from(text), partial: false, dropped: true };
}

function textOf(timestampNs: bigint): string {
  return new Date(Number(timestampNs / 1_000_000n)).toISOString();
}

/** Rings once, when the folder's log was written to or a signal aborted. */
class Alarm implements Disposable {
  readonly rung: Promise<void>;
  readonly #watcher: FSWatcher;
  readonly #signals: readonly AbortSignal[];
  readonly #ring = () => this.#resolve();
  readonly #resolve: () => void;

  constructor(folder: string, signals: readonly AbortSignal[]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.rung = promise;
    this.#resolve = resolve;
    // The folder, because the file may not be there yet, or be replaced.
    this.#watcher = watch(folder, (_event, changed) => {
      if (changed === null || changed === "log") resolve();
    });
    this.#watcher.on("error", resolve);
    this.#signals = signals;
    for (const signal of signals) {
      signal.addEventListener("abort", this.#ring);
      if (signal.aborted) resolve();
    }
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    for (const signal of this.#signals) signal.removeEventListener("abort", this.#ring);
  }
}

function nsOf({ seconds, nanos }: Timestamp): bigint {
  return seconds * 1_000_000_000n + BigInt(nanos);
}

function toReadLine({ timestampNs, stream, data, partial }: LogLine): ReadLine {
  const seconds = timestampNs / 1_000_000_000n;
  const nanos = Number(timestampNs % 1_000_000_000n);
  return { timestamp: create(TimestampSchema, { seconds, nanos }), stream, data, partial };
}
