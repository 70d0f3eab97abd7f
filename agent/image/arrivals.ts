/**
 * The blobs that are being written to this host's disk at this moment, so that what is there already can be unpacked here
 * and read by other nodes.
 *
 * Invariant: the last byte of a blob is not given away before the blob was verified. So who has read a blob to its end from
 * an honest node has good bytes, and who read wrong ones is told so by the node that passed them on.
 */
import { Fault } from "#proto/fault.ts";
import type { Descriptor } from "#registry/manifest.ts";

export class Arrival {
  /** The file that it is written to; gone, under this name, when it has arrived. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly #bell = new Bell();
  #writtenBytes = 0;
  #end: "verified" | Fault | undefined;

  constructor({ sizeBytes }: Pick<Descriptor, "sizeBytes">, path: string) {
    this.sizeBytes = sizeBytes;
    this.path = path;
  }

  advance(writtenBytes: number): void {
    this.#writtenBytes = writtenBytes;
    this.#bell.ring();
  }

  end(how: "verified" | Fault): void {
    this.#end ??= how;
    this.#bell.ring();
  }

  /** Up to where the file can be read now: beyond `offset`, or the blob's size when it is there whole. */
  async readable(offset: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      if (this.#end instanceof Fault) throw this.#end;
      if (this.#end === "verified") return this.sizeBytes;
      const readable = Math.min(this.#writtenBytes, this.sizeBytes - 1);
      if (readable > offset) return readable;
      await this.#bell.next(signal);
    }
  }
}

export class Arrivals {
  readonly #arriving = new Map<string, Arrival>();
  readonly #bell = new Bell();

  begin(blob: Descriptor, path: string): Arrival {
    const arrival = new Arrival(blob, path);
    this.#arriving.set(blob.digest, arrival);
    this.#bell.ring();
    return arrival;
  }

  /** Those who read it go on. */
  end(digest: string, arrival: Arrival, how: "verified" | Fault): void {
    if (this.#arriving.get(digest) === arrival) this.#arriving.delete(digest);
    arrival.end(how);
  }

  find(digest: string): Arrival | undefined {
    return this.#arriving.get(digest);
  }

  /** Resolves when it begins to arrive; rejects with the signal's reason. */
  async begun(digest: string, signal: AbortSignal): Promise<Arrival> {
    for (;;) {
      const arrival = this.find(digest);
      if (arrival !== undefined) return arrival;
      await this.#bell.next(signal);
    }
  }
}

/** Wakes everybody who waits at this moment. */
class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    const woken = [...this.#waiting];
    for (const wake of woken) wake();
  }

  next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", onAbort);
        act();
      };
      const wake = () => settle(resolve);
      const onAbort = () => settle(() => reject(Fault.from(signal.reason)));
      this.#waiting.add(wake);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
