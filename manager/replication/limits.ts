/** How much of anything the managers' log takes, and how long it waits. */
import { messageBytesMax } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { envelopeBytes } from "./envelope.ts";

/** What a request for the log may wait, as in Swarm. */
export const requestTimeoutMs = 20_000;

/** Room in a message for all that is around an entry. */
const aroundBytes = 64 * 1024;

/** An entry travels in one message, to the leader and from it. */
export const dataBytesMax = messageBytesMax - aroundBytes - envelopeBytes;

/** Proposals of this server that are not settled; more means that the log cannot follow. */
export const proposalsMax = 20_000;
export const proposalBytesMax = 256 * 1024 * 1024;

/** What goes into the log, or to the leader, at once. */
export const batchEntriesMax = 2_000;
export const batchBytesMax = 4 * 1024 * 1024;

/** A server that was heard of so recently counts as reachable. */
export const contactMs = 3_000;

/** Resolves when the work is over, however it ends, or after `ms`. */
export async function settledWithin(
  ms: number,
  work: Promise<unknown>,
  clock: Clock,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _alarm = clock.timer(ms, resolve);
  await Promise.race([
    promise,
    work.then(
      () => resolve(),
      () => resolve(),
    ),
  ]);
}
