/**
 * Carries one task's log from its folder to where its driver wants it, at the pace of who takes it: the task itself never
 * waits. Goes on after a restart where it was. What cannot be delivered is tried again until the log's files are full;
 * then the oldest lines are dropped, which the log at the other end says.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";
import type { LogLine } from "./k8s-file.ts";
import { type LogChunk, LogCursor, type LogPlace } from "./log-cursor.ts";
import { chunksOf } from "./log-reader.ts";

const backoffMsMin = 500;
const backoffMsMax = 30_000;

/** Where lines go. */
export interface LogSink extends AsyncDisposable {
  /** Resolves when the lines are taken; rejects where they have to be written again. */
  write(lines: readonly LogLine[]): Promise<void>;
  /** A number that is handed in again when writing goes on after a restart of this program. */
  readonly position: number;
}

export interface ForwarderOptions {
  readonly folder: string;
  /** Aborts when nothing will be appended any more. */
  readonly ended: AbortSignal;
  /** Opens the sink at a position that it had, 0 at first. */
  readonly openSink: (position: number) => LogSink;
}

/** What is kept on disk of how far it came. */
interface Progress extends LogPlace {
  readonly position: number;
  /** The log has ended and all of it was taken. */
  readonly complete: boolean;
}

export class LogForwarder implements AsyncDisposable {
  /** Resolves when the whole log was taken, or this program lets go. */
  readonly done: Promise<void>;
  readonly #options: ForwarderOptions;
  readonly #modules: { readonly clock: Clock; readonly log: Log };
  readonly #stop = new AbortController();

  constructor(options: ForwarderOptions, modules: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#modules = modules;
    this.done = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("canceled", "the agent is stopping"));
    await this.done;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#modules;
    const { signal } = this.#stop;
    let backoffMs = backoffMsMin;
    while (!signal.aborted) {
      try {
        await this.#forward(() => (backoffMs = backoffMsMin));
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const { message: error } = Fault.from(thrown);
        log.warn("Cannot forward a task's log", { error, againInMs: backoffMs });
      }
      await clock.sleep(backoffMs, signal).catch(() => undefined);
      backoffMs = Math.min(2 * backoffMs, backoffMsMax);
    }
  }

  /** From where it was to the end of the log. */
  async #forward(onTaken: () => void): Promise<void> {
    const { folder, openSink } = this.#options;
    const before = await readProgress(folder);
    if (before?.complete === true) return;
    using cursor = new LogCursor(folder);
    const isLost = before !== undefined && !cursor.seek(before);
    await using sink = openSink(before?.position ?? 0);
    const take = async (chunk: LogChunk, complete = false) => {
      // Who takes nothing must not keep this program from ending.
      await unlessAborted(sink.write(withNotice(chunk)), this.#stop.signal);
      const { position } = sink;
      const { inode = 0, offset = 0 } = cursor.place ?? {};
      await writeProgress(folder, { inode, offset, position, complete });
      onTaken();
    };
    const { signal } = this.#stop;
    let first = true;
    for await (const chunk of chunksOf({ ...this.#options, follow: true }, cursor, signal)) {
      await take({ lines: chunk.lines, dropped: chunk.dropped || (first && isLost) });
      first = false;
      if (signal.aborted) return;
    }
    if (!signal.aborted) await take({ lines: cursor.flush(), dropped: false }, true);
  }
}

/** Rejects with the signal's reason when that comes first. */
async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function withNotice({ lines, dropped }: LogChunk): readonly LogLine[] {
  const [first] = lines;
  if (!dropped || first === undefined) return lines;
  const text = "lines were dropped: they could not be delivered before the log's files were full";
  return [{ ...first, data: Buffer.from(text), partial: false }, ...lines];
}

const fileName = "log.forwarded";

async function readProgress(folder: string): Promise<Progress | undefined> {
  try {
    return parseProgress(await readFile(join(folder, fileName), "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function writeProgress(folder: string, progress: Progress): Promise<void> {
  const path = join(folder, fileName);
  await writeFile(`${path}.new`, JSON.stringify(progress), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Undefined where the file was torn: then all that is there is forwarded. */
export function parseProgress(text: string): Progress | undefined {
  const numbers =
    /^\{"inode":(\d{1,15}),"offset":(\d{1,15}),"position":(\d{1,15}),"complete":(true|false)\}$/.exec(
      text,
    );
  if (numbers === null) return undefined;
  const [, inode, offset, position, complete] = numbers;
  return {
    inode: Number(inode),
    offset: Number(offset),
    position: Number(position),
    complete: complete === "true",
  };
}
