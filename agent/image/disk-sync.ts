/**
 * Sees to it that what was written to a file system is on its disk. One syncfs at a time, for all who ask: those who ask
 * while one is under way share the next. What is written in between goes to the disk in the background, so that whoever asks
 * in the end waits for the rest only.
 */
import type { Exec } from "#agent/exec.ts";
import { SharedCall } from "#proto/shared-call.ts";

const timeoutMs = 5 * 60_000;

/** A disk takes longer to write so much than a syncfs takes to begin. */
const writtenAheadMax = 32 * 1024 * 1024;

export class DiskSync {
  readonly #call: SharedCall<unknown>;
  #writtenBytes = 0;

  /** `path`: a folder of the file system. */
  constructor(path: string, { exec }: { readonly exec: Exec }) {
    this.#call = new SharedCall(() => exec.run("sync", ["-f", path], { timeoutMs }));
  }

  /** Resolves when everything that was written before the call is on the disk. */
  async flush(): Promise<void> {
    await this.#call.run();
  }

  /** So much was written, which will be flushed. */
  onWritten(bytes: number): void {
    this.#writtenBytes += bytes;
    if (this.#writtenBytes < writtenAheadMax) return;
    this.#writtenBytes = 0;
    // Whoever flushes hears of a disk that fails.
    this.flush().catch(() => undefined);
  }
}
