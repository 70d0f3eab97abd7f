/** Messages into a stream of gRPC, no faster than it takes them. */
import type { Writable } from "node:stream";

/** Calls `act` when the signal is or becomes aborted; returns how to stop listening. */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) queueMicrotask(act);
  signal.addEventListener("abort", act, { once: true });
  return () => signal.removeEventListener("abort", act);
}

interface Sink<T> {
  /** False: full; the stream says "drain" when it takes more. */
  readonly write: (message: T) => boolean;
  readonly stream: Writable;
  /** Aborted when the call has ended, whoever ended it. */
  readonly over: AbortSignal;
}

/**
 * Writes messages as fast as the stream takes them, until there are no more or the call is over. The source's `return()`
 * is called then also while it is waited for; one that waits for something else must know the call's signal.
 */
export async function pour<T>(messages: AsyncIterable<T>, sink: Sink<T>): Promise<void> {
  const { over } = sink;
  const iterator = messages[Symbol.asyncIterator]();
  const release = onAbort(over, () => {
    // How the source ends does not matter to anybody any more.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  });
  try {
    for await (const message of { [Symbol.asyncIterator]: () => iterator }) {
      if (over.aborted) return;
      if (!sink.write(message)) await drained(sink);
      if (over.aborted) return;
    }
  } finally {
    release();
  }
}

/** Resolves when the stream takes more, or is gone. */
function drained({ stream, over }: Pick<Sink<never>, "stream" | "over">): Promise<void> {
  if (stream.destroyed || over.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const events = ["drain", "close", "error"];
    const done = () => {
      for (const event of events) stream.off(event, done);
      release();
      resolve();
    };
    const release = onAbort(over, done);
    for (const event of events) stream.on(event, done);
  });
}
