/**
 * Reads a blob's bytes from one node, and gives up on one that is gone, stands still, or is slow. Bytes are passed on
 * unverified, but never more than the blob has.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { PeerConnections } from "./peer-connections.ts";
import type { Peer } from "./plan.ts";

/** What a node may take to send something, which includes that it waits for the blob to begin to arrive there. */
const answerMs = 4_000;
const stallMs = 5_000;

/** A node is judged by what it sends in so much time of waiting for it. */
const windowMs = 5_000;

/** Of a node that has the blob, slower than this is left; of one to which it is coming, its own source may be slow. */
const bytesPerSecondMin = { holds: 1024 * 1024, coming: 64 * 1024 } as const;

export interface Piece {
  readonly digest: string;
  readonly offset: number;
  /** Where the blob ends, for manifests where it has to have ended. */
  readonly sizeBytesMax: number;
  readonly signal: AbortSignal;
}

export interface PeerReaderModules {
  readonly connections: PeerConnections;
  readonly clock: Clock;
}

/** Ends where the node ends, which may be too early. */
export async function* readFromPeer(
  peer: Peer,
  { digest, offset, sizeBytesMax, signal }: Piece,
  { connections, clock }: PeerReaderModules,
): AsyncGenerator<Buffer, void, undefined> {
  using open = connections.use(peer);
  const late = new AbortController();
  const ended = AbortSignal.any([signal, late.signal]);
  const request = { digest, offset: BigInt(offset) };
  const messages = open.client.readBlob(request, { signal: ended })[Symbol.asyncIterator]();
  const pace = new Pace(peer);
  let at = offset;
  try {
    for (;;) {
      const startedMs = clock.monotonic();
      const next = await within(clock, at === offset ? answerMs : stallMs, {
        work: messages.next(),
        onLate: () =>
          late.abort(new Fault("deadline-exceeded", `node ${peer.nodeId} sends nothing`)),
      });
      if (next.done === true) return;
      const { data } = next.value;
      at += data.length;
      if (at > sizeBytesMax) {
        throw new Fault("data-loss", `node ${peer.nodeId} sends more than the blob has`);
      }
      pace.add(data.length, clock.monotonic() - startedMs);
      if (data.length > 0) yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    late.abort();
    await messages.return?.();
  }
}

/** Only time counts in which the node is waited for: it is not to blame for a slow disk here. */
class Pace {
  readonly #peer: Peer;
  #bytes = 0;
  #waitedMs = 0;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  add(bytes: number, waitedMs: number): void {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < windowMs) return;
    const min = bytesPerSecondMin[this.#peer.holds ? "holds" : "coming"];
    if (this.#bytes * 1_000 < min * this.#waitedMs) {
      throw new Fault("deadline-exceeded", `node ${this.#peer.nodeId} is slow`);
    }
    this.#bytes = 0;
    this.#waitedMs = 0;
  }
}

async function within<T>(
  clock: Clock,
  ms: number,
  { work, onLate }: { readonly work: Promise<T>; readonly onLate: () => void },
): Promise<T> {
  using _timer = clock.timer(ms, onLate);
  return await work;
}
