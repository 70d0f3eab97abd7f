/** What a program prints, as the messages of an answer: read only when somebody takes it. */
import type { Readable } from "node:stream";

export interface Output {
  readonly from: "stdout" | "stderr";
  readonly data: Buffer;
}

/** Everything that both streams say until they end, in the order in which it comes. */
export async function* readOutputs(
  streams: Readonly<Record<Output["from"], Readable | null>>,
): AsyncIterable<Output> {
  const open = new Map<Output["from"], Readable>();
  let wake = Promise.withResolvers<void>();
  const onNews = () => wake.resolve();
  for (const from of ["stdout", "stderr"] as const) {
    const stream = streams[from];
    if (stream === null) continue;
    open.set(from, stream);
    for (const event of ["readable", "end", "close", "error"]) stream.on(event, onNews);
  }
  while (open.size > 0) {
    let idle = true;
    for (const [from, stream] of open) {
      const data: unknown = stream.read();
      if (data instanceof Buffer) {
        idle = false;
        yield { from, data };
      } else if (stream.readableEnded || stream.destroyed) open.delete(from);
    }
    if (!idle || open.size === 0) continue;
    await wake.promise;
    wake = Promise.withResolvers();
  }
}
