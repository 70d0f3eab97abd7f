/**
 * The images of this host. Owns the folder they are in: blobs by digest, layers unpacked for overlayfs, and the index
 * from references to images. Knows nothing of containers.
 *
 * A tag is asked for at the registry on every pull, because it may have moved. When that fails in whatever way and the
 * image is here, the one that is here is used, as Docker Swarm does: a registry's trouble must not stop a restart.
 * A reference with a digest needs no registry once its content is here.
 *
 * Invariants: `find` returns only images that are complete; pulls of one image, and of one layer by several images, share
 * the work; what failed or was aborted leaves nothing behind; nothing is removed that an image has or a pull needs.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { manifestBytesMax, parseManifest } from "#registry/manifest.ts";
import type { Platform } from "#registry/platform.ts";
import { formatReference, parseReference, type Reference } from "#registry/reference.ts";
import { Registry, type RegistryOptions } from "#registry/registry.ts";
import type { Exec } from "../exec.ts";
import type { LayerPeers } from "../layer-peers/layer-peers.ts";
import { Content } from "./content.ts";
import { nameFullDisk } from "./disk-full.ts";
import { type DiskProbe, systemDiskProbe, withinRoom } from "./disk-room.ts";
import { type ImageConfig, imageConfigBytesMax } from "./image-config.ts";
import { ImageIndex, type IndexEntry } from "./image-index.ts";
import {
  type Description,
  describe,
  type ImageLayer,
  ImagePull,
  namesOf,
  type PullWork,
} from "./image-pull.ts";
import { type Layer, Layers } from "./layers.ts";
import { Leases } from "./leases.ts";
import { ProgressMeter, type PullProgress } from "./pull-progress.ts";
import { SharedWork } from "./shared-work.ts";
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

/** One reference with all that belongs to its image. */
export interface HeldImage extends Image {
  readonly usedAtMs: number;
  readonly parts: readonly HeldLayer[];
}

export interface HeldLayer extends ImageLayer {
  readonly unpacked: Layer;
}

export interface ImageStoreOptions extends RegistryOptions {
  readonly root: string;
  readonly platform: Platform;
  /** Of one layer unpacked; without it the disk alone is the limit. */
  readonly layerBytesMax?: number;
}

export interface ImageStoreModules extends Ports {
  readonly exec: Exec;
  readonly disk?: DiskProbe;
  /** Other nodes; without them everything comes from registries. */
  readonly peers?: LayerPeers | undefined;
}

export interface PullOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
  /** The caller's login at the registry, as PullOptions of a service has it. */
  readonly registryAuth?: string | undefined;
  /** A user wants to hear that the registry does not answer; a task runs what is here. */
  readonly isStrict?: true;
}

/** What must stay although no image has it: folders of layers that containers have mounted. */
export type LayersInUse = ReadonlySet<string>;

/** When an image was last used is written no more exactly than this. */
const usedGraceMs = 60 * 60_000;

interface Parts {
  readonly content: Content;
  readonly layers: Layers;
  readonly index: ImageIndex;
  readonly registry: Registry;
  readonly temporary: TemporaryFolder;
  readonly leases: Leases;
  readonly pull: ImagePull;
}

export class ImageStore implements AsyncDisposable {
  readonly #options: ImageStoreOptions;
  readonly #modules: ImageStoreModules;
  readonly #parts: Parts;
  readonly #images = new Map<string, HeldImage>();
  readonly #pulls = new SharedWork<PullProgress, Image>();

  static async open(options: ImageStoreOptions, modules: ImageStoreModules): Promise<ImageStore> {
    const { root, layerBytesMax = Number.POSITIVE_INFINITY } = options;
    const { disk = systemDiskProbe } = modules;
    await mkdir(root, { recursive: true, mode: 0o711 });
    const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
    const content = new Content({ folder: join(root, "content") }, { temporary });
    const layers = await Layers.open(
      { folder: join(root, "layers"), layerBytesMax },
      { ...modules, temporary, disk },
    );
    const registry = new Registry(options, modules);
    const leases = new Leases();
    const inRoom = (chunks: AsyncIterable<Buffer>) =>
      withinRoom(chunks, { path: root, probe: disk, layerBytesMax: Number.POSITIVE_INFINITY });
    const store = new ImageStore(options, modules, {
      temporary,
      content,
      layers,
      registry,
      leases,
      index: await ImageIndex.open(join(root, "index.json"), modules.log),
      pull: new ImagePull(options, { content, layers, registry, leases, inRoom }),
    });
    await store.#load();
    return store;
  }

  constructor(options: ImageStoreOptions, modules: ImageStoreModules, parts: Parts) {
    this.#options = options;
    this.#modules = modules;
    this.#parts = parts;
  }

  /** Other settings from now on. */
  configure(settings: RegistrySettings & { readonly layerBytesMax: number }): void {
    this.#parts.registry.configure(settings);
    this.#parts.layers.limit(settings.layerBytesMax);
  }

  /** Where everything is. */
  get root(): string {
    return this.#options.root;
  }

  get content(): Content {
    return this.#parts.content;
  }

  get temporary(): TemporaryFolder {
    return this.#parts.temporary;
  }

  get platform(): Platform {
    return this.#options.platform;
  }

  /** The image under the reference, if it is here and complete. */
  find(reference: string): Image | undefined {
    return this.#images.get(formatReference(parseReference(reference)));
  }

  /** All references. */
  list(): readonly HeldImage[] {
    return [...this.#images.values()];
  }

  /** Brings the image here. Several pulls of one image share the work; each has its own signal. */
  async pull(reference: string, options: PullOptions): Promise<Image> {
    try {
      const parsed = parseReference(reference);
      const { registryAuth = "", isStrict = false } = options;
      // Whoever has no login does not wait for the answer to somebody else's.
      const key = `${formatReference(parsed)} ${isStrict} ${registryAuth}`;
      return await this.#pulls.join(key, options, (signal, emit) => {
        const work = this.#work(signal, { registryAuth, reference: parsed });
        return isStrict ? this.#pullNow(parsed, work, emit) : this.#pullOrFind(parsed, work, emit);
      });
    } catch (error) {
      const fault = nameFullDisk(this.#options.root, error);
      throw Fault.wrap(`Cannot pull image "${reference}"`, fault);
    }
  }

  /**
   * Takes an image whose blobs are in `content` already, held by `hold`, under these references; under none it is
   * "@DIGEST".
   */
  async install(
    manifestDigest: string,
    references: readonly Reference[],
    signal: AbortSignal,
  ): Promise<readonly HeldImage[]> {
    await using work = this.#work(signal);
    const meter = new ProgressMeter(() => {}, this.#modules);
    const keys = references.map(formatReference);
    const [first = `@${manifestDigest}`, ...others] = keys;
    const names = { reference: first, digest: manifestDigest, manifestDigest };
    const described = await this.#describeLocally(names);
    if (described === undefined) {
      throw new Fault("failed-precondition", `it has no image manifest ${manifestDigest}`);
    }
    const noWhere = { registry: "", repository: "" };
    const layers = await this.#parts.pull.ensureLayers(noWhere, described.layers, {
      ...work,
      meter,
      isLocal: true,
    });
    const installed: HeldImage[] = [];
    for (const reference of [first, ...others]) {
      installed.push(await this.#keep({ ...described, reference }, layers));
    }
    work.newBlobs.clear();
    return installed;
  }

  /** Nothing of these names is cleared away until the result is disposed. */
  hold(digests: Iterable<string>): Disposable {
    return this.#parts.leases.hold(digests);
  }

  /** Clears away those of the blobs that nobody needs. */
  async drop(digests: Iterable<string>): Promise<void> {
    const { content } = this.#parts;
    for (const digest of digests) await content.remove(digest, () => this.#isNeeded(digest));
  }

  /** Forgets the references, then clears away what no image has any more. Returns how many bytes that were. */
  async remove(references: readonly string[], inUse: LayersInUse): Promise<number> {
    const { index } = this.#parts;
    let isFull = false;
    try {
      await index.remove(references);
    } catch (error) {
      isFull = nameFullDisk(this.root, error).code === "resource-exhausted";
      if (!isFull) throw error;
    }
    for (const reference of references) this.#images.delete(reference);
    const reclaimedBytes = await this.sweep(inUse);
    // A full disk has no room for a new list before something is gone; with the old one these images are not complete.
    if (isFull) await index.remove(references);
    return reclaimedBytes;
  }

  /** Clears away what no image has and nobody needs, such as what a process that was killed has left. */
  async sweep(inUse: LayersInUse): Promise<number> {
    const { content, layers } = this.#parts;
    let reclaimedBytes = 0;
    for (const name of await layers.list()) {
      const sizeBytes = await layers.sizeOf(name);
      const isNeeded = () => this.#isNeeded(name) || inUse.has(layers.treeOf(name));
      if (await layers.remove(name, isNeeded)) reclaimedBytes += sizeBytes;
    }
    for (const digest of await content.list()) {
      const sizeBytes = (await content.sizeOf(digest)) ?? 0;
      if (await content.remove(digest, () => this.#isNeeded(digest))) reclaimedBytes += sizeBytes;
    }
    return reclaimedBytes;
  }

  /** Notes that the images are in use now. */
  async touch(references: Iterable<string>): Promise<void> {
    const usedAtMs = this.#modules.clock.now();
    const entries: IndexEntry[] = [];
    for (const reference of references) {
      const image = this.#images.get(reference);
      if (image === undefined) continue;
      this.#images.set(reference, { ...image, usedAtMs });
      const { digest, manifestDigest } = image;
      const entry = { reference, digest, manifestDigest, usedAtMs };
      if (!isFresh(this.#parts.index.get(reference), entry)) entries.push(entry);
    }
    const [first, ...others] = entries;
    if (first !== undefined) await this.#parts.index.set(first, others);
  }

  /** Aborts what is under way and waits for its clean-up. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pulls.close();
    await this.#parts.pull.close();
    this.#parts.registry[Symbol.dispose]();
  }

  /** Images that lost a part, by a hand or a damaged disk, are not offered; the next pull mends them. */
  async #load(): Promise<void> {
    for (const entry of this.#parts.index.entries) {
      try {
        const described = await this.#describeLocally(entry);
        const layers = described && (await this.#findLayers(described.layers));
        if (described === undefined || layers === undefined) {
          throw new Fault("data-loss", "a part of it is not here");
        }
        this.#remember(described, layers, entry.usedAtMs);
      } catch (error) {
        const { message } = Fault.from(error);
        this.#modules.log.warn("An image is not complete", {
          image: entry.reference,
          error: message,
        });
      }
    }
  }

  async #describeLocally(
    names: Pick<Description, "reference" | "digest" | "manifestDigest">,
  ): Promise<Description | undefined> {
    const { content } = this.#parts;
    const { reference, digest, manifestDigest } = names;
    const bytes = await content.read(manifestDigest, manifestBytesMax);
    const manifest = bytes === undefined ? undefined : parseManifest(bytes);
    if (manifest?.kind !== "image") return undefined;
    const config = await content.read(manifest.config.digest, imageConfigBytesMax);
    if (config === undefined) return undefined;
    return describe({ reference, digest, manifestDigest }, manifest, config);
  }

  async #findLayers(layers: readonly ImageLayer[]): Promise<readonly Layer[] | undefined> {
    const found = await Promise.all(layers.map((layer) => this.#parts.layers.find(layer)));
    const present = found.filter((layer) => layer !== undefined);
    return present.length === layers.length ? present : undefined;
  }

  async #pullOrFind(
    reference: Reference,
    work: PullWork & AsyncDisposable,
    emit: (progress: PullProgress) => void,
  ): Promise<Image> {
    const { signal } = work;
    try {
      return await this.#pullNow(reference, work, emit);
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

  async #pullNow(
    reference: Reference,
    begun: PullWork & AsyncDisposable,
    emit: (progress: PullProgress) => void,
  ): Promise<Image> {
    await using work = begun;
    const meter = new ProgressMeter(emit, this.#modules);
    const { pull } = this.#parts;
    const described = await pull.describe(reference, work);
    meter.start(described.layers.map(({ blob }) => blob.sizeBytes));
    const layers = await pull.ensureLayers(reference, described.layers, { ...work, meter });
    const image = await this.#keep(described, layers);
    work.newBlobs.clear();
    meter.complete();
    return image;
  }

  /** One pull's belongings. When it is disposed of, what it brought and did not hand over is removed. */
  #work(
    signal: AbortSignal,
    { registryAuth = "", reference }: { registryAuth?: string; reference?: Reference } = {},
  ): PullWork & AsyncDisposable {
    const held = new DisposableStack();
    const newBlobs = new Set<string>();
    return {
      signal,
      held,
      newBlobs,
      registryAuth: registryAuth === "" ? undefined : registryAuth,
      peers: reference && this.#modules.peers?.of(reference, this.content),
      [Symbol.asyncDispose]: async () => {
        held.dispose();
        await this.drop(newBlobs);
      },
    };
  }

  async #keep(described: Description, layers: readonly Layer[]): Promise<HeldImage> {
    const { reference, digest, manifestDigest } = described;
    const { index } = this.#parts;
    const usedAtMs = this.#modules.clock.now();
    const entry = { reference, digest, manifestDigest, usedAtMs };
    const displaced = this.#displacedBy(described);
    const old = this.#images.get(reference);
    if (displaced !== undefined && old !== undefined) {
      await index.set(entry, [displaced]);
      this.#images.set(displaced.reference, { ...old, reference: displaced.reference });
    } else if (!isFresh(index.get(reference), entry)) await index.set(entry);
    return this.#remember(described, layers, usedAtMs);
  }

  /** The image that loses its tag to this one goes on as NAME@DIGEST: containers may have it. */
  #displacedBy({ reference, manifestDigest }: Description): IndexEntry | undefined {
    const old = this.#images.get(reference);
    if (old === undefined || old.manifestDigest === manifestDigest) return undefined;
    const { digest, usedAtMs } = old;
    const { registry, repository } = parseReference(reference);
    const name = formatReference({ registry, repository, digest });
    return this.#images.has(name)
      ? undefined
      : { reference: name, digest, manifestDigest: old.manifestDigest, usedAtMs };
  }

  #remember(described: Description, layers: readonly Layer[], usedAtMs: number): HeldImage {
    const { reference, digest, manifestDigest, configDigest, config } = described;
    const folders = layers.map(({ path }) => path);
    const parts = described.layers.flatMap((layer, index) => {
      const unpacked = layers[index];
      return unpacked === undefined ? [] : [{ ...layer, unpacked }];
    });
    const image: HeldImage = {
      reference,
      digest,
      manifestDigest,
      configDigest,
      config,
      usedAtMs,
      parts,
      // Of a layer that occurs twice only the upper one: overlayfs refuses a folder twice, and whatever the lower one
      // has, the upper one has again.
      layers: folders.filter((folder, index) => folders.lastIndexOf(folder) === index),
    };
    this.#images.set(reference, image);
    return image;
  }

  #isNeeded(name: string): boolean {
    return this.#parts.leases.has(name) || this.#names().has(name);
  }

  /** Names of all that belongs to an image. */
  #names(): ReadonlySet<string> {
    const names = new Set<string>();
    for (const { digest, manifestDigest, configDigest, parts } of this.#images.values()) {
      for (const name of [digest, manifestDigest, configDigest]) names.add(name);
      for (const part of parts) {
        names.add(part.unpacked.name);
        for (const name of namesOf(part)) names.add(name);
      }
    }
    // Those that are not complete, too: the next pull mends them with what is left.
    for (const { digest, manifestDigest } of this.#parts.index.entries) {
      names.add(digest);
      names.add(manifestDigest);
    }
    return names;
  }
}

/** Whether what is written is good enough: a task that starts costs no write. */
function isFresh(written: IndexEntry | undefined, entry: IndexEntry): boolean {
  return (
    written?.digest === entry.digest &&
    written.manifestDigest === entry.manifestDigest &&
    entry.usedAtMs - written.usedAtMs < usedGraceMs
  );
}
