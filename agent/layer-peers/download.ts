/**
 * One attempt to get a blob's bytes: from nodes, then from the registry, then, where that fails, from any node that may
 * have it. Each goes on where the one before ended. What comes is not verified here.
 */
import { Fault } from "#proto/fault.ts";
import type { Descriptor } from "#registry/manifest.ts";
import { type PeerReaderModules, readFromPeer } from "./peer-reader.ts";
import type { Peer } from "./plan.ts";

/** Where the registry is away and nodes that have the blob are busy, they are asked again. */
const roundsMax = 4;
const roundPauseMs = 1_000;

export interface DownloadOptions {
  readonly asksPeers: boolean;
  readonly signal: AbortSignal;
  /** The same bytes, from an offset on. */
  readonly fromRegistry: (offset: number) => Promise<AsyncIterable<Buffer>>;
}

/** Which nodes to ask, in order, and who is told what they were good for. */
export interface Sources {
  sources(digest: string): Promise<readonly Peer[]>;
  /** Where the registry gives nothing. */
  lastSources(digest: string): Promise<readonly Peer[]>;
  blame(peer: Peer, fault: Fault, spentMs: number): void;
}

export interface DownloadModules extends PeerReaderModules {
  readonly peers: Sources;
}

export class Download {
  /** IDs of nodes that have sent a part of it. */
  readonly suspects = new Set<string>();
  readonly #blob: Descriptor;
  readonly #options: DownloadOptions;
  readonly #modules: DownloadModules;
  #offset = 0;
  #someAreBusy = false;

  constructor(blob: Descriptor, options: DownloadOptions, modules: DownloadModules) {
    this.#blob = blob;
    this.#options = options;
    this.#modules = modules;
  }

  async *bytes(): AsyncGenerator<Buffer, void, undefined> {
    const { asksPeers, signal, fromRegistry } = this.#options;
    const { peers } = this.#modules;
    if (asksPeers) yield* this.#fromPeers(await peers.sources(this.#blob.digest));
    if (this.#isWhole) return;
    try {
      for await (const chunk of await fromRegistry(this.#offset)) {
        this.#offset += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      yield* this.#withoutRegistry();
      if (!this.#isWhole) throw error;
    }
  }

  get #isWhole(): boolean {
    return this.#offset === this.#blob.sizeBytes;
  }

  async *#withoutRegistry(): AsyncGenerator<Buffer, void, undefined> {
    const { digest } = this.#blob;
    const { signal } = this.#options;
    const { peers, clock } = this.#modules;
    for (let rounds = 1; rounds <= roundsMax; rounds += 1) {
      this.#someAreBusy = false;
      yield* this.#fromPeers(await peers.lastSources(digest));
      if (this.#isWhole || !this.#someAreBusy) return;
      await clock.sleep(roundPauseMs * rounds, signal);
    }
  }

  /** Until the blob is whole or all have been asked. */
  async *#fromPeers(sources: readonly Peer[]): AsyncGenerator<Buffer, void, undefined> {
    const { peers, clock } = this.#modules;
    for (const peer of sources) {
      const startedMs = clock.monotonic();
      const blame = (fault: Fault) => peers.blame(peer, fault, clock.monotonic() - startedMs);
      try {
        yield* this.#fromPeer(peer);
        if (this.#isWhole) return;
        blame(new Fault("unavailable", "it ended too early"));
      } catch (error) {
        this.#options.signal.throwIfAborted();
        const fault = Fault.from(error);
        if (fault.code === "data-loss" && this.#offset > 0) throw fault;
        if (fault.code === "resource-exhausted") this.#someAreBusy = true;
        blame(fault);
      }
    }
  }

  async *#fromPeer(peer: Peer): AsyncGenerator<Buffer, void, undefined> {
    const { digest, sizeBytes } = this.#blob;
    const { signal } = this.#options;
    const piece = { digest, offset: this.#offset, sizeBytesMax: sizeBytes, signal };
    for await (const bytes of readFromPeer(peer, piece, this.#modules)) {
      this.suspects.add(peer.nodeId);
      this.#offset += bytes.length;
      yield bytes;
    }
  }
}
