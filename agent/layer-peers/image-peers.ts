/**
 * What one pull knows of the nodes that have its image: who they are, which of them failed it, and how much time they have
 * cost. When that is used up only the registry is asked, so that a pull takes no more than a bounded time longer than it
 * would without peers.
 */
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { digestOf } from "#registry/digest.ts";
import type { Descriptor } from "#registry/manifest.ts";
import type { Content } from "../image/content.ts";
import { Download, type DownloadOptions, type Sources } from "./download.ts";
import { type PeerReaderModules, readFromPeer } from "./peer-reader.ts";
import { allSources, type Peer, planSources } from "./plan.ts";

/** What all peers together may cost a pull. */
const patienceMs = 10_000;

/** However long a peer was of use before it failed, it costs no more. */
const failureMsMax = 5_000;

/** How often a blob is taken anew when what nodes sent was wrong; at last from the registry alone. */
const attemptsMax = 3;

/** Who are asked for a small blob when the registry does not give it. */
const smallSourcesMax = 8;

export interface ImagePeersModules extends PeerReaderModules {
  /** This node. */
  readonly nodeId: string;
  readonly content: Content;
  /** Asks a manager; nobody where there is none. */
  readonly find: (imageDigest: string) => Promise<readonly Peer[]>;
  readonly log: Log;
}

export interface FetchOptions extends Omit<DownloadOptions, "asksPeers"> {
  readonly onBytes: (completedBytes: number) => void;
  /** The same bytes, as long as the disk has room for them. */
  readonly inRoom: (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
}

export interface SmallBlob {
  readonly digest: string;
  readonly bytesMax: number;
}

export class ImagePeers implements Sources {
  readonly #imageDigest: string;
  readonly #modules: ImagePeersModules;
  #found: Promise<readonly Peer[]> | undefined;
  #patienceMs = patienceMs;
  /** Not asked again before the registry was. */
  readonly #failed = new Set<string>();
  /** Not asked again: they had a part in a blob that was wrong, though perhaps they had it from another. */
  readonly #suspects = new Set<string>();

  constructor(imageDigest: string, modules: ImagePeersModules) {
    this.#imageDigest = imageDigest;
    this.#modules = modules;
  }

  /** Brings the blob into the content of this host, and gives it to other nodes meanwhile. */
  async fetch(blob: Descriptor, options: FetchOptions): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      const asksPeers = attempts < attemptsMax;
      const download = new Download(
        blob,
        { ...options, asksPeers },
        { ...this.#modules, peers: this },
      );
      try {
        const start = async () => options.inRoom(download.bytes());
        return await this.#modules.content.receive(blob, start, options.onBytes);
      } catch (error) {
        const { suspects } = download;
        const isWrong = Fault.from(error).code === "data-loss" && suspects.size > 0;
        if (!isWrong || !asksPeers || options.signal.aborted) throw error;
        for (const nodeId of suspects) this.#suspects.add(nodeId);
        this.#modules.log.warn("A layer from other nodes is damaged; it is taken anew", {
          digest: blob.digest,
          nodes: [...suspects],
        });
      }
    }
  }

  /** A manifest or config: from who has it whole, else from the registry, else from anybody. */
  async fetchSmall(
    blob: SmallBlob,
    signal: AbortSignal,
    fromRegistry: () => Promise<Buffer>,
  ): Promise<Buffer> {
    const holders = (await this.sources(blob.digest)).filter(({ holds }) => holds);
    const bytes = await this.#readSmall(blob, holders, signal);
    if (bytes !== undefined) return bytes;
    try {
      return await fromRegistry();
    } catch (error) {
      signal.throwIfAborted();
      const sources = await this.lastSources(blob.digest);
      const late = await this.#readSmall(blob, sources.slice(0, smallSourcesMax), signal);
      if (late === undefined) throw error;
      return late;
    }
  }

  /**
   * The same, those first that others wait for because this node is to take them from the registry: a layer that waits here
   * for its turn must not make them go there themselves.
   */
  async awaitedFirst<T extends { readonly blob: Descriptor }>(
    layers: readonly T[],
  ): Promise<readonly T[]> {
    const isAwaited = await Promise.all(
      layers.map(async ({ blob }) => (await this.sources(blob.digest)).length === 0),
    );
    return [
      ...layers.filter((_, index) => isAwaited[index]),
      ...layers.filter((_, index) => isAwaited[index] !== true),
    ];
  }

  /** Whom to ask before the registry. */
  async sources(digest: string): Promise<readonly Peer[]> {
    this.#found ??= this.#find();
    const found = await this.#found;
    if (this.#patienceMs <= 0) return [];
    const isOfUse = ({ nodeId }: Peer) => !this.#failed.has(nodeId) && !this.#suspects.has(nodeId);
    const { nodeId } = this.#modules;
    return planSources({ digest, nodeId, peers: found.filter(isOfUse) });
  }

  /** Whom to ask when the registry has failed. */
  async lastSources(digest: string): Promise<readonly Peer[]> {
    this.#found = this.#find();
    const peers = (await this.#found).filter(({ nodeId }) => !this.#suspects.has(nodeId));
    return allSources({ digest, nodeId: this.#modules.nodeId, peers });
  }

  /** Notes that a peer gave nothing, or not all, and what it cost. */
  blame({ nodeId }: Peer, { code, message }: Fault, tookMs: number): void {
    this.#patienceMs -= Math.min(tookMs, failureMsMax);
    // Those who are busy, or lack this blob, may give another.
    if (code !== "resource-exhausted" && code !== "not-found") this.#failed.add(nodeId);
    this.#modules.log.debug("A node does not give a layer", { nodeId, error: message });
  }

  /** Does not end with one of those who wait: the others of the pull go on. */
  async #find(): Promise<readonly Peer[]> {
    try {
      return await this.#modules.find(this.#imageDigest);
    } catch (error) {
      const { message } = Fault.from(error);
      this.#modules.log.debug("No manager says which nodes have an image", { error: message });
      return [];
    }
  }

  async #readSmall(
    { digest, bytesMax }: SmallBlob,
    sources: readonly Peer[],
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock } = this.#modules;
    for (const peer of sources) {
      const startedMs = clock.monotonic();
      try {
        const wish = { digest, offset: 0, sizeBytesMax: bytesMax, signal };
        const bytes = Buffer.concat(await Array.fromAsync(readFromPeer(peer, wish, this.#modules)));
        if (digestOf(bytes) === digest) return bytes;
        this.#suspects.add(peer.nodeId);
      } catch (error) {
        signal.throwIfAborted();
        this.blame(peer, Fault.from(error), clock.monotonic() - startedMs);
      }
    }
    return undefined;
  }
}
