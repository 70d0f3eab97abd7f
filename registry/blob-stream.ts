/**
 * A blob's bytes over as many connections as it takes: where one breaks, the next is asked for the rest (Range), and of a
 * server that sends everything again, what is here already is passed over. Gives up when several in a row bring nothing.
 */
import { Fault } from "#proto/fault.ts";
import type { HttpResponse } from "./http-client.ts";
import { discard } from "./read-body.ts";
import { pause, type RetryModules, type RetryOptions } from "./retry.ts";

export interface BlobStreamOptions extends RetryOptions {
  /** What is here already; default 0. */
  readonly startBytes?: number;
  readonly signal: AbortSignal;
}

export async function* blobStream(
  first: HttpResponse,
  from: (offset: number) => Promise<HttpResponse>,
  options: BlobStreamOptions,
  modules: RetryModules,
): AsyncGenerator<Buffer, void, undefined> {
  let response: HttpResponse | undefined = first;
  let doneBytes = options.startBytes ?? 0;
  let failures = 0;
  for (;;) {
    let brought = false;
    try {
      response ??= await from(doneBytes);
      for await (const chunk of rest(response, doneBytes)) {
        doneBytes += chunk.length;
        failures = 0;
        brought = true;
        yield chunk;
      }
      return;
    } catch (error) {
      const fault = Fault.from(error);
      // Of a connection that brought nothing before it stalled, the wait was long enough.
      const isPassing =
        fault.code === "unavailable" || (fault.code === "deadline-exceeded" && brought);
      failures += 1;
      if (!isPassing || options.signal.aborted || failures >= options.attempts) throw fault;
      await pause(failures, { ...options, fault }, modules);
    }
    response = undefined;
  }
}

/** What the answer has from the offset on. */
async function* rest(
  response: HttpResponse,
  offset: number,
): AsyncGenerator<Buffer, void, undefined> {
  if (response.status === 416) return await discard(response);
  let skipBytes = offset - startOf(response);
  if (Number.isNaN(skipBytes) || skipBytes < 0) {
    await discard(response);
    throw new Fault(
      "data-loss",
      "the registry sent another part of the blob than it was asked for",
    );
  }
  for await (const chunk of response.body) {
    const skipped = Math.min(skipBytes, chunk.length);
    skipBytes -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

/** Where the answer's bytes begin. */
function startOf({ status, headers }: HttpResponse): number {
  if (status !== 206) return 0;
  const start = /^bytes ([0-9]{1,15})-/.exec(headers["content-range"] ?? "")?.[1];
  return start === undefined ? Number.NaN : Number(start);
}
