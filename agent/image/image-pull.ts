/**
 * From a reference to all that an image consists of: manifest, config, packed layers, unpacked layers. Takes from other
 * nodes or the registry what is not here yet.
 *
 * Invariants: several images that have a layer in common share the work for it; what is about to be needed is held in
 * `leases` until the caller has noted it.
 */
import { Fault } from "#proto/fault.ts";
import { digestOf, shortIdOf } from "#registry/digest.ts";
import {
  type Descriptor,
  type Manifest,
  manifestBytesMax,
  parseManifest,
  selectPlatform,
} from "#registry/manifest.ts";
import type { Platform } from "#registry/platform.ts";
import { formatReference, type Reference } from "#registry/reference.ts";
import type { Registry } from "#registry/registry.ts";
import type { ImagePeers } from "../layer-peers/image-peers.ts";
import { Slots } from "../slots.ts";
import type { Content } from "./content.ts";
import { type ImageConfig, imageConfigBytesMax, parseImageConfig } from "./image-config.ts";
import { chainIds, type Layer, type LayerId, type Layers } from "./layers.ts";
import type { Leases } from "./leases.ts";
import type { LayerProgress, ProgressMeter } from "./pull-progress.ts";
import { SharedWork } from "./shared-work.ts";

/** Layers that are downloaded and unpacked at the same time, of all images together. Docker's default. */
const parallelLayersMax = 3;

/** An index may name another index; nobody needs more. */
const indexDepthMax = 3;

/** How often a layer is tried again after the pull of another image, which it was shared with, has failed. */
const sharedAttemptsMax = 3;

export type ImageManifest = Manifest & { readonly kind: "image" };

export interface ImageLayer extends LayerId {
  readonly blob: Descriptor;
}

/** What an image consists of. */
export interface Description {
  readonly reference: string;
  /** What the reference stands for: a manifest, or an index of manifests for several platforms. */
  readonly digest: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly config: ImageConfig;
  readonly layers: readonly ImageLayer[];
}

export interface PullParts {
  readonly content: Content;
  readonly layers: Layers;
  readonly registry: Registry;
  readonly leases: Leases;
  /** Passes a download on for as long as there is room for it on the disk. */
  readonly inRoom: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
}

/** One pull: what it holds on to, and what was not here before it. */
export interface PullWork {
  readonly signal: AbortSignal;
  readonly held: DisposableStack;
  /** Digests of blobs. */
  readonly newBlobs: Set<string>;
  /** No registry has what is not here or is damaged. */
  readonly isLocal?: true;
  /** The caller's login at the registry, as PullOptions of a service has it. */
  readonly registryAuth?: string | undefined;
  /** Other nodes that may have what is not here. */
  readonly peers?: ImagePeers | undefined;
}

export class ImagePull {
  readonly #platform: Platform;
  readonly #parts: PullParts;
  readonly #fetches = new SharedWork<LayerProgress, void>();
  readonly #unpacks = new SharedWork<LayerProgress, Layer | undefined>();
  readonly #slots = new Slots(parallelLayersMax);

  constructor(options: { readonly platform: Platform }, parts: PullParts) {
    this.#platform = options.platform;
    this.#parts = parts;
  }

  /** Aborts what is under way and waits for its clean-up. */
  async close(): Promise<void> {
    await this.#unpacks.close();
    await this.#fetches.close();
  }

  /** From the reference to what has to be here for it, which takes the network as far as it is not here yet. */
  async describe(reference: Reference, work: PullWork): Promise<Description> {
    const first = await this.#manifest(reference, work);
    let current = first;
    for (let depth = 0; current.manifest.kind === "index"; depth += 1) {
      if (depth === indexDepthMax) {
        throw new Fault(
          "failed-precondition",
          `its indexes are nested deeper than ${indexDepthMax}`,
        );
      }
      const { digest } = selectPlatform(current.manifest.manifests, this.#platform);
      current = await this.#manifest({ ...reference, digest }, work);
    }
    const config = await this.#config(reference, current.manifest.config, work);
    const names = {
      reference: formatReference(reference),
      digest: first.digest,
      manifestDigest: current.digest,
    };
    return describe(names, current.manifest, config);
  }

  /** All or none: the first layer that fails ends the others. Base first. */
  async ensureLayers(
    reference: Reference,
    layers: readonly ImageLayer[],
    options: PullWork & { readonly meter: ProgressMeter },
  ): Promise<readonly Layer[]> {
    const { content, leases } = this.#parts;
    options.held.use(leases.hold(layers.flatMap(namesOf)));
    const failure = new AbortController();
    const signal = AbortSignal.any([options.signal, failure.signal]);
    const ensure = async ({ layer, index }: (typeof queue)[number]) => {
      const onProgress = (progress: LayerProgress) => options.meter.onLayer(index, progress);
      try {
        return await this.#ensureLayer(reference, layer, { ...options, signal, onProgress });
      } catch (error) {
        failure.abort(error);
        throw error;
      }
    };
    const queue = layers.map((layer, index) => ({ blob: layer.blob, layer, index }));
    const works: Promise<Layer | undefined>[] = [];
    const sizes = await Promise.all(queue.map(({ blob }) => content.sizeOf(blob.digest)));
    // Nobody is asked about an image that is here.
    const peers = sizes.includes(undefined) ? options.peers : undefined;
    for (const next of (await peers?.awaitedFirst(queue)) ?? queue) {
      works[next.index] = ensure(next);
    }
    const settled = await Promise.allSettled(works);
    options.signal.throwIfAborted();
    const done: Layer[] = [];
    for (const [index, layer] of layers.entries()) {
      const result = settled[index];
      if (result?.status !== "fulfilled") throw failure.signal.reason;
      done.push(result.value ?? (await this.#unpackOnto(done, layer, options.signal)));
    }
    return done;
  }

  async #manifest(
    reference: Reference,
    { signal, held, newBlobs, registryAuth, peers }: PullWork,
  ): Promise<{ readonly manifest: Manifest; readonly digest: string }> {
    const { content, registry, leases } = this.#parts;
    if (reference.digest !== undefined) held.use(leases.hold([reference.digest]));
    const wanted = { digest: reference.digest, bytesMax: manifestBytesMax };
    const local =
      wanted.digest === undefined ? undefined : await content.read(wanted.digest, wanted.bytesMax);
    const fromRegistry = () => registry.manifest(reference, signal, registryAuth);
    const bytes = local ?? (await fetchSmall(wanted, { signal, peers }, fromRegistry));
    const digest = reference.digest ?? digestOf(bytes);
    const manifest = parseManifest(bytes);
    held.use(leases.hold([digest]));
    if (local === undefined && (await content.sizeOf(digest)) !== bytes.length) {
      newBlobs.add(digest);
      await content.write({ digest, sizeBytes: bytes.length }, bytes);
    }
    return { manifest, digest };
  }

  async #config(reference: Reference, blob: Descriptor, work: PullWork): Promise<Buffer> {
    const { content, registry, leases } = this.#parts;
    work.held.use(leases.hold([blob.digest]));
    const bytesMax = imageConfigBytesMax;
    const local = await content.read(blob.digest, bytesMax);
    if (local !== undefined) return local;
    const { signal, registryAuth } = work;
    const fromRegistry = () =>
      registry.smallBlob(reference, blob, { signal, registryAuth, bytesMax });
    const bytes = await fetchSmall({ digest: blob.digest, bytesMax }, work, fromRegistry);
    work.newBlobs.add(blob.digest);
    await content.write(blob, bytes);
    return bytes;
  }

  async #ensureLayer(
    reference: Reference,
    layer: ImageLayer,
    waiter: PullWork & { readonly onProgress: (progress: LayerProgress) => void },
  ): Promise<Layer | undefined> {
    for (let attempts = 1; ; attempts += 1) {
      let isOurs = false;
      try {
        return await this.#unpacks.join(layer.chainId, waiter, (signal, emit) => {
          isOurs = true;
          return this.#slots.run(signal, () =>
            this.#pullLayer(reference, layer, { ...waiter, signal, emit }),
          );
        });
      } catch (error) {
        // The work of another image's pull failed, perhaps because of its registry: ours may have the layer.
        if (isOurs || waiter.signal.aborted || attempts === sharedAttemptsMax) throw error;
      }
    }
  }

  /** Undefined: the layer leans on those below it, and only its packed form is here. */
  async #pullLayer(
    reference: Reference,
    layer: ImageLayer,
    work: PullWork & { readonly emit: (progress: LayerProgress) => void },
  ): Promise<Layer | undefined> {
    const { content, layers } = this.#parts;
    const { signal, emit } = work;
    const { digest, sizeBytes: completedBytes } = layer.blob;
    const present = await layers.find(layer);
    if (present !== undefined) {
      emit({ phase: "complete", completedBytes });
      return present;
    }
    let unpacked: Layer | undefined;
    if ((await content.sizeOf(digest)) === layer.blob.sizeBytes) {
      emit({ phase: "unpacking", completedBytes });
      try {
        unpacked = await layers.unpack(layer, await content.packed(digest), signal);
      } catch (error) {
        // A power cut may have damaged what is here; a full disk has not.
        const isFull = Fault.from(error).code === "resource-exhausted";
        if (signal.aborted || isFull || work.isLocal === true) throw error;
        await content.remove(digest);
      }
    }
    if (unpacked === undefined && (await content.sizeOf(digest)) !== layer.blob.sizeBytes) {
      if (work.isLocal === true) throw new Fault("not-found", `its layer ${digest} is missing`);
      work.newBlobs.add(digest);
      unpacked = await this.#fetchAndUnpack(reference, layer, work);
    }
    emit({ phase: "complete", completedBytes });
    return unpacked;
  }

  /** Unpacks what has arrived while the rest still comes. */
  async #fetchAndUnpack(
    reference: Reference,
    layer: ImageLayer,
    { emit, ...work }: PullWork & { readonly emit: (progress: LayerProgress) => void },
  ): Promise<Layer | undefined> {
    const { content, layers } = this.#parts;
    const { digest, sizeBytes: completedBytes } = layer.blob;
    const fetched = new AbortController();
    const signal = AbortSignal.any([work.signal, fetched.signal]);
    const early = settled(
      content.arriving(digest, signal).then((packed) => layers.unpack(layer, packed, work.signal)),
    );
    try {
      await this.#fetch(reference, layer.blob, { ...work, onProgress: emit });
    } finally {
      // One that has not begun is not waited for; the others end with the arrival, well or not.
      fetched.abort();
      emit({ phase: "unpacking", completedBytes });
      await early;
    }
    const outcome = await early;
    if (outcome.status === "fulfilled") return outcome.value;
    const { code } = Fault.from(outcome.reason);
    if (work.signal.aborted || code === "resource-exhausted") throw outcome.reason;
    // What had arrived was wrong and came anew, or the layer is bad: then the same is said of the whole.
    return await layers.unpack(layer, await content.packed(digest), work.signal);
  }

  /** The same blob may be in several chains at the same time. */
  async #fetch(
    reference: Reference,
    blob: Descriptor,
    waiter: {
      readonly signal: AbortSignal;
      readonly registryAuth?: string | undefined;
      readonly peers?: ImagePeers | undefined;
      readonly onProgress: (progress: LayerProgress) => void;
    },
  ): Promise<void> {
    const { content, registry, inRoom } = this.#parts;
    const { registryAuth, peers } = waiter;
    await this.#fetches.join(blob.digest, waiter, async (signal, emit) => {
      const onBytes = (completedBytes: number) => emit({ phase: "downloading", completedBytes });
      const fromRegistry = (startBytes: number) =>
        registry.blobFrom(reference, blob, { startBytes, signal, registryAuth });
      const options = { signal, onBytes, inRoom, fromRegistry };
      if (peers !== undefined) return await peers.fetch(blob, options);
      const start = async () => inRoom(await fromRegistry(0));
      await content.receive(blob, start, onBytes);
    });
  }

  async #unpackOnto(
    below: readonly Layer[],
    layer: ImageLayer,
    signal: AbortSignal,
  ): Promise<Layer> {
    const { content, layers } = this.#parts;
    const unpacked = await this.#unpacks.join(`onto ${layer.chainId}`, { signal }, async (shared) =>
      layers.unpackOnto(below, layer, await content.packed(layer.blob.digest), shared),
    );
    if (unpacked === undefined) throw new Fault("internal", "a layer was unpacked to nothing");
    return unpacked;
  }
}

async function settled<T>(work: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [outcome] = await Promise.allSettled([work]);
  return outcome;
}

/** What has no digest is a tag, which the registry alone can explain. */
function fetchSmall(
  { digest, bytesMax }: { readonly digest: string | undefined; readonly bytesMax: number },
  { signal, peers }: Pick<PullWork, "signal" | "peers">,
  fromRegistry: () => Promise<Buffer>,
): Promise<Buffer> {
  if (digest === undefined || peers === undefined) return fromRegistry();
  return peers.fetchSmall({ digest, bytesMax }, signal, fromRegistry);
}

/** Under which names a layer's parts may be on the disk. */
export function namesOf({ blob, diffId, chainId }: ImageLayer): readonly string[] {
  return [blob.digest, shortIdOf(diffId), shortIdOf(chainId)];
}

export function describe(
  names: Pick<Description, "reference" | "digest" | "manifestDigest">,
  manifest: ImageManifest,
  configBytes: Buffer,
): Description {
  const config = parseImageConfig(configBytes);
  const ids = chainIds(config.diffIds);
  if (ids.length !== manifest.layers.length) {
    throw new Fault(
      "failed-precondition",
      `its manifest has ${manifest.layers.length} layers, but its config has ${ids.length}`,
    );
  }
  const layers = manifest.layers.flatMap((blob, index) => {
    const id = ids[index];
    return id === undefined ? [] : [{ blob, ...id }];
  });
  return { ...names, configDigest: manifest.config.digest, config, layers };
}
