/**
 * Takes images from an archive. What arrives goes to the disk at once and is read from there, since the files of an
 * archive come in any order; nothing is ever whole in memory but the small documents.
 *
 * Invariant: what is not part of a loaded image in the end is gone, also when it fails.
 */
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { Fault } from "#proto/fault.ts";
import {
  type Manifest,
  manifestBytesMax,
  parseManifest,
  selectPlatform,
} from "#registry/manifest.ts";
import { formatReference, type Reference } from "#registry/reference.ts";
import { ByteReader } from "./byte-reader.ts";
import type { SpooledBlob } from "./content.ts";
import { decompress } from "./decompress.ts";
import { type DiskProbe, systemDiskProbe, withinRoom } from "./disk-room.ts";
import {
  blobPath,
  composeManifest,
  type DockerImage,
  type LayoutImage,
  parseDockerManifest,
  parseLayoutIndex,
  refusal,
} from "./image-archive.ts";
import { imageConfigBytesMax } from "./image-config.ts";
import { wholeBlob } from "./packed-blob.ts";
import type { HeldImage, ImageStore } from "./image-store.ts";
import { paddingOf } from "./tar-header.ts";
import { readEntry } from "./tar-reader.ts";

export interface LoadOptions {
  readonly signal: AbortSignal;
}

export interface LoadModules {
  readonly store: ImageStore;
  readonly disk?: DiskProbe;
}

/** An archive of a hundred images has some thousand. */
const filesMax = 100_000;

/** How far a layout's indexes may be nested. */
const depthMax = 3;

export async function loadImages(
  chunks: AsyncIterable<Buffer>,
  { signal }: LoadOptions,
  modules: LoadModules,
): Promise<readonly HeldImage[]> {
  try {
    await using archive = new Archive(modules);
    await archive.read(chunks, signal);
    return await archive.install(signal);
  } catch (error) {
    throw Fault.wrap("Cannot load the images", error);
  }
}

class Archive implements AsyncDisposable {
  readonly #store: ImageStore;
  readonly #disk: DiskProbe;
  readonly #files = new Map<string, SpooledBlob>();
  /** Symbolic links, which older Dockers write for layers that occur twice. */
  readonly #links = new Map<string, string>();
  readonly #cleanup = new AsyncDisposableStack();

  constructor({ store, disk = systemDiskProbe }: LoadModules) {
    this.#store = store;
    this.#disk = disk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync();
  }

  async read(chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    const { content } = this.#store;
    await using packed = await content.spool(this.#withinRoom(chunks));
    signal.throwIfAborted();
    const tar = decompress(await wholeBlob(packed.path), signal);
    const reader = new ByteReader(this.#withinRoom(tar));
    while (true) {
      const entry = await readEntry(reader);
      if (entry === undefined) break;
      signal.throwIfAborted();
      const { name, type, sizeBytes, linkName } = entry;
      if (type === "0") {
        if (this.#files.size === filesMax) throw refusal(`it has more than ${filesMax} files`);
        const file = this.#cleanup.use(await content.spool(reader.pieces(sizeBytes)));
        this.#files.set(name, file);
        await reader.skip(paddingOf(sizeBytes));
      } else {
        if (type === "2") this.#links.set(name, posix.join(posix.dirname(name), linkName));
        if (type === "1") this.#links.set(name, linkName);
        await reader.skip(sizeBytes + paddingOf(sizeBytes));
      }
    }
    await reader.drain();
  }

  async install(signal: AbortSignal): Promise<readonly HeldImage[]> {
    const layout = await this.#document("index.json");
    const docker = await this.#document("manifest.json");
    const dockerImages = docker === undefined ? [] : parseDockerManifest(docker);
    if (layout === undefined && docker === undefined) {
      throw refusal("it has neither index.json nor manifest.json");
    }
    const installed: HeldImage[] = [];
    if (layout !== undefined) {
      for (const image of this.#ofThisPlatform(parseLayoutIndex(layout))) {
        installed.push(...(await this.#installLayout(image, dockerImages, signal)));
      }
    } else {
      for (const image of dockerImages) {
        installed.push(...(await this.#installDocker(image, signal)));
      }
    }
    if (installed.length === 0) throw refusal("it has no image for this platform");
    return installed;
  }

  /** Those that say of another platform that they are for it are left out. */
  #ofThisPlatform(images: readonly LayoutImage[]): readonly LayoutImage[] {
    const { os, architecture } = this.#store.platform;
    return images.filter(
      ({ platform }) =>
        platform === undefined || (platform.os === os && platform.architecture === architecture),
    );
  }

  async #installLayout(
    image: LayoutImage,
    dockerImages: readonly DockerImage[],
    signal: AbortSignal,
  ): Promise<readonly HeldImage[]> {
    let { digest } = image;
    let manifest = await this.#manifest(digest);
    for (let depth = 1; manifest.kind === "index"; depth += 1) {
      if (depth > depthMax) throw refusal("its indexes are nested too deep");
      ({ digest } = selectPlatform(manifest.manifests, this.#store.platform));
      manifest = await this.#manifest(digest);
    }
    const configPath = blobPath(manifest.config.digest);
    const named = dockerImages.filter(({ config }) => this.#resolve(config) === configPath);
    const references =
      image.references.length > 0 ? image.references : named.flatMap((each) => each.references);
    const digests = [manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
    return await this.#put([digest, ...digests].map(blobPath), digest, references, signal);
  }

  async #installDocker(image: DockerImage, signal: AbortSignal): Promise<readonly HeldImage[]> {
    const layers = image.layers.map((path) => this.#file(path));
    const { digest, bytes } = composeManifest(this.#file(image.config), layers);
    const spooled = await this.#store.content.spool(
      (async function* () {
        yield bytes;
      })(),
    );
    const path = blobPath(digest);
    this.#files.set(path, this.#cleanup.use(spooled));
    return await this.#put([path, image.config, ...image.layers], digest, image.references, signal);
  }

  /** Makes the files, manifest and config first, blobs of the store, and of those an image. */
  async #put(
    paths: readonly string[],
    manifestDigest: string,
    references: readonly Reference[],
    signal: AbortSignal,
  ): Promise<readonly HeldImage[]> {
    const { content } = this.#store;
    const files = paths.map((path) => this.#file(path));
    const configBytes = files[1]?.sizeBytes ?? 0;
    if (configBytes > imageConfigBytesMax) throw refusal("its config is too large");
    const digests = [...new Set(files.map(({ digest }) => digest))];
    const held = this.#store.hold(digests);
    const isNew: string[] = [];
    try {
      for (const file of files) {
        if ((await content.sizeOf(file.digest)) === file.sizeBytes) continue;
        isNew.push(file.digest);
        await content.copy(file);
      }
      const unique = new Map(references.map((each) => [formatReference(each), each]));
      return await this.#store.install(manifestDigest, [...unique.values()], signal);
    } finally {
      held[Symbol.dispose]();
      await this.#store.drop(isNew);
    }
  }

  #file(path: string): SpooledBlob {
    const file = this.#files.get(this.#resolve(path));
    if (file === undefined) throw refusal(`it has no file "${path.slice(0, 200)}"`);
    const named = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(this.#resolve(path))?.[1];
    if (named === undefined || file.digest === `sha256:${named}`) return file;
    throw new Fault("data-loss", `its blob sha256:${named} has the digest ${file.digest}`);
  }

  #resolve(path: string): string {
    const name = posix.normalize(path);
    return this.#links.get(name) ?? name;
  }

  async #manifest(digest: string): Promise<Manifest> {
    const bytes = await this.#document(blobPath(digest));
    if (bytes === undefined) throw refusal(`it has no manifest ${digest}`);
    return parseManifest(bytes);
  }

  async #document(path: string): Promise<Buffer | undefined> {
    if (!this.#files.has(this.#resolve(path))) return undefined;
    const file = this.#file(path);
    if (file.sizeBytes > manifestBytesMax) throw refusal(`its ${path} is too large`);
    await using handle = await open(file.path, "r");
    return await handle.readFile();
  }

  #withinRoom(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    const layerBytesMax = Number.POSITIVE_INFINITY;
    return withinRoom(chunks, { path: this.#store.root, layerBytesMax, probe: this.#disk });
  }
}
