/**
 * The images of this host. Owns the folder they are in: manifests and configs by digest, layers unpacked for overlayfs,
 * and the index from references to images. Knows nothing of containers.
 *
 * A tag is asked for at the registry on every pull, because it may have moved. When that fails in whatever way and the
 * image is here, the one that is here is used, as Docker Swarm does: a registry's trouble must not stop a restart.
 * A reference with a digest needs no registry once its content is here.
 *
 * Invariants: `find` returns only images that are complete; pulls of one image, and of one layer by several images, share
 * the work; what failed or was aborted leaves nothing behind.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import { digestOf } from "#registry/digest.ts";
import {
  type Descriptor,
  type Manifest,
  type Platform,
  parseManifest,
  selectPlatform,
} from "#registry/manifest.ts";
import { formatReference, parseReference, type Reference } from "#registry/reference.ts";
import { Registry, type RegistryOptions } from "#registry/registry.ts";
import type { Exec } from "../exec.ts";
import { Content } from "./content.ts";
import { nameFullDisk } from "./disk-full.ts";
import { type ImageConfig, imageConfigBytesMax, parseImageConfig } from "./image-config.ts";
import { ImageIndex, type IndexEntry } from "./image-index.ts";
import { Layers } from "./layers.ts";
import { type LayerProgress, ProgressMeter, type PullProgress } from "./pull-progress.ts";
import { SharedWork } from "./shared-work.ts";
import { Slots } from "../slots.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

export interface Image {
  /** The full form, "docker.io/library/nginx:latest". */
  readonly reference: string;
  /** What the reference stood for at the registry: a manifest, or an index of manifests for several platforms. */
  readonly digest: string;
  /** The manifest for this host's platform. */
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly config: ImageConfig;
  /** Absolute folders, base first, each once: ready as overlayfs lowerdirs. */
  readonly layers: readonly string[];
}

export interface ImageStoreOptions extends RegistryOptions {
  readonly root: string;
  readonly platform: Platform;
}

export interface ImageStoreModules extends Ports {
  readonly exec: Exec;
}

export interface PullOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
}

/** Layers that are downloaded and unpacked at the same time, of all images together. Docker's default. */
const parallelLayersMax = 3;

/** An index may name another index; nobody needs more. */
const indexDepthMax = 3;

/** How often a layer is tried again after the pull of another image, which it was shared with, has failed. */
const sharedAttemptsMax = 3;

interface Parts {
  readonly content: Content;
  readonly layers: Layers;
  readonly index: ImageIndex;
  readonly registry: Registry;
  readonly temporary: TemporaryFolder;
}

interface ImageLayer {
  readonly blob: Descriptor;
  readonly diffId: string;
}

interface Described {
  readonly entry: IndexEntry;
  readonly configDigest: string;
  readonly config: ImageConfig;
  readonly layers: readonly ImageLayer[];
}

export class ImageStore implements AsyncDisposable {
  readonly #options: ImageStoreOptions;
  readonly #modules: ImageStoreModules;
  readonly #parts: Parts;
  readonly #images = new Map<string, Image>();
  readonly #pulls = new SharedWork<PullProgress, Image>();
  readonly #layerPulls = new SharedWork<LayerProgress, void>();
  readonly #slots = new Slots(parallelLayersMax);

  static async open(options: ImageStoreOptions, modules: ImageStoreModules): Promise<ImageStore> {
    const { root } = options;
    await mkdir(root, { recursive: true, mode: 0o711 });
    const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
    const store = new ImageStore(options, modules, {
      temporary,
      content: new Content({ folder: join(root, "content") }, { temporary }),
      layers: await Layers.open(join(root, "layers"), { ...modules, temporary }),
      index: await ImageIndex.open(join(root, "index.json")),
      registry: new Registry(options, modules),
    });
    await store.#load();
    return store;
  }

  constructor(options: ImageStoreOptions, modules: ImageStoreModules, parts: Parts) {
    this.#options = options;
    this.#modules = modules;
    this.#parts = parts;
  }

  /** The image under the reference, if it is here and complete. */
  find(reference: string): Image | undefined {
    return this.#images.get(formatReference(parseReference(reference)));
  }

  /** Brings the image here. Several pulls of one image share the work; each has its own signal. */
  async pull(reference: string, options: PullOptions): Promise<Image> {
    try {
      const parsed = parseReference(reference);
      const key = formatReference(parsed);
      return await this.#pulls.join(key, options, (signal, emit) =>
        this.#pullOrFind(parsed, signal, emit),
      );
    } catch (error) {
      const fault = nameFullDisk(this.#options.root, error);
      throw Fault.wrap(`Cannot pull image "${reference}"`, fault);
    }
  }

  /** Aborts what is under way and waits for its clean-up. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pulls.close();
    await this.#layerPulls.close();
    this.#parts.registry[Symbol.dispose]();
  }

  /** Images that lost a part, by a hand or a damaged disk, are not offered; the next pull mends them. */
  async #load(): Promise<void> {
    for (const entry of this.#parts.index.entries) {
      const described = await this.#describeLocally(entry);
      if (described !== undefined) this.#remember(described);
      else this.#modules.log.warn("An image is not complete", { image: entry.reference });
    }
  }

  async #describeLocally(entry: IndexEntry): Promise<Described | undefined> {
    const { content, layers } = this.#parts;
    const bytes = await content.read(entry.manifestDigest);
    const manifest = bytes === undefined ? undefined : parseManifest(bytes);
    if (manifest?.kind !== "image") return undefined;
    const config = await content.read(manifest.config.digest);
    if (config === undefined) return undefined;
    const described = describe(entry, manifest, config);
    const present = await Promise.all(described.layers.map(({ diffId }) => layers.has(diffId)));
    return present.every(Boolean) ? described : undefined;
  }

  async #pullOrFind(
    reference: Reference,
    signal: AbortSignal,
    emit: (progress: PullProgress) => void,
  ): Promise<Image> {
    const meter = new ProgressMeter(emit, this.#modules);
    try {
      const image = await this.#perform(reference, signal, meter);
      meter.complete();
      return image;
    } catch (error) {
      const local = this.#images.get(formatReference(reference));
      if (signal.aborted || local === undefined) throw error;
      this.#modules.log.warn("Using the image that is here, because pulling it failed", {
        image: local.reference,
        error: Fault.from(error).message,
      });
      return local;
    }
  }

  async #perform(reference: Reference, signal: AbortSignal, meter: ProgressMeter): Promise<Image> {
    const described = await this.#describe(reference, signal);
    meter.start(described.layers.map(({ blob }) => blob.sizeBytes));
    await this.#ensureLayers(reference, described.layers, { signal, meter });
    await this.#parts.index.set(described.entry);
    return this.#remember(described);
  }

  /** From the reference to what has to be here for it, which takes the network as far as it is not here yet. */
  async #describe(reference: Reference, signal: AbortSignal): Promise<Described> {
    const first = await this.#manifest(reference, signal);
    let current = first;
    for (let depth = 0; current.manifest.kind === "index"; depth += 1) {
      if (depth === indexDepthMax) {
        throw new Fault(
          "failed-precondition",
          `its indexes are nested deeper than ${indexDepthMax}`,
        );
      }
      const { digest } = selectPlatform(current.manifest.manifests, this.#options.platform);
      current = await this.#manifest({ ...reference, digest }, signal);
    }
    const entry = {
      reference: formatReference(reference),
      digest: first.digest,
      manifestDigest: current.digest,
    };
    const config = await this.#config(reference, current.manifest.config, signal);
    return describe(entry, current.manifest, config);
  }

  async #manifest(
    reference: Reference,
    signal: AbortSignal,
  ): Promise<{ readonly manifest: Manifest; readonly digest: string }> {
    const { content, registry } = this.#parts;
    const local = reference.digest === undefined ? undefined : await content.read(reference.digest);
    const bytes = local ?? (await registry.manifest(reference, signal));
    const digest = reference.digest ?? digestOf(bytes);
    const manifest = parseManifest(bytes);
    if (local === undefined) await content.write({ digest, sizeBytes: bytes.length }, bytes);
    return { manifest, digest };
  }

  async #config(reference: Reference, blob: Descriptor, signal: AbortSignal): Promise<Buffer> {
    const { content, registry } = this.#parts;
    const local = await content.read(blob.digest);
    if (local !== undefined) return local;
    const bytesMax = imageConfigBytesMax;
    const bytes = await registry.smallBlob(reference, blob, { signal, bytesMax });
    await content.write(blob, bytes);
    return bytes;
  }

  /** All or none: the first layer that fails ends the others. */
  async #ensureLayers(
    reference: Reference,
    layers: readonly ImageLayer[],
    options: { readonly signal: AbortSignal; readonly meter: ProgressMeter },
  ): Promise<void> {
    const failure = new AbortController();
    const signal = AbortSignal.any([options.signal, failure.signal]);
    const works = layers.map(async (layer, index) => {
      const onProgress = (progress: LayerProgress) => options.meter.onLayer(index, progress);
      try {
        await this.#ensureLayer(reference, layer, { signal, onProgress });
      } catch (error) {
        failure.abort(error);
        throw error;
      }
    });
    await Promise.allSettled(works);
    options.signal.throwIfAborted();
    if (failure.signal.aborted) throw failure.signal.reason;
  }

  async #ensureLayer(
    reference: Reference,
    layer: ImageLayer,
    waiter: {
      readonly signal: AbortSignal;
      readonly onProgress: (progress: LayerProgress) => void;
    },
  ): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      let isOurs = false;
      try {
        return await this.#layerPulls.join(layer.diffId, waiter, (signal, emit) => {
          isOurs = true;
          return this.#slots.run(signal, () => this.#pullLayer(reference, layer, { signal, emit }));
        });
      } catch (error) {
        // The work of another image's pull failed, perhaps because of its registry: ours may have the layer.
        if (isOurs || waiter.signal.aborted || attempts === sharedAttemptsMax) throw error;
      }
    }
  }

  async #pullLayer(
    reference: Reference,
    { blob, diffId }: ImageLayer,
    work: { readonly signal: AbortSignal; readonly emit: (progress: LayerProgress) => void },
  ): Promise<void> {
    const { content, layers, registry } = this.#parts;
    const { signal, emit } = work;
    if (!(await layers.has(diffId))) {
      await using staged = await registry.retry(signal, () =>
        content.stage(
          blob,
          () => registry.blob(reference, blob, signal),
          (completedBytes) => emit({ phase: "downloading", completedBytes }),
        ),
      );
      emit({ phase: "unpacking", completedBytes: blob.sizeBytes });
      await layers.unpack(diffId, staged.path, signal);
    }
    emit({ phase: "complete", completedBytes: blob.sizeBytes });
  }

  #remember(described: Described): Image {
    const { entry, configDigest, config } = described;
    const image = { ...entry, configDigest, config, layers: this.#lowerFolders(described.layers) };
    this.#images.set(entry.reference, image);
    return image;
  }

  /**
   * Of a layer that occurs twice only the upper one: overlayfs refuses a folder twice, and whatever the lower one has,
   * the upper one has again.
   */
  #lowerFolders(layers: readonly ImageLayer[]): readonly string[] {
    const folders = layers.map(({ diffId }) => this.#parts.layers.path(diffId));
    return folders.filter((folder, index) => folders.lastIndexOf(folder) === index);
  }
}

function describe(
  entry: IndexEntry,
  manifest: Manifest & { readonly kind: "image" },
  configBytes: Buffer,
): Described {
  const config = parseImageConfig(configBytes);
  const { diffIds } = config;
  if (diffIds.length !== manifest.layers.length) {
    throw new Fault(
      "failed-precondition",
      `its manifest has ${manifest.layers.length} layers, but its config has ${diffIds.length}`,
    );
  }
  const layers = manifest.layers.flatMap((blob, index) => {
    const diffId = diffIds[index];
    return diffId === undefined ? [] : [{ blob, diffId }];
  });
  return { entry, configDigest: manifest.config.digest, config, layers };
}
