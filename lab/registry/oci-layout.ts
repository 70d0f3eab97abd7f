/**
 * Images as files: writes an OCI image layout (image-spec, image-layout.md) with one image in it, from folders or tar
 * streams. A layer's tar is hashed, compressed and hashed again in one pass.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import { start } from "../process.ts";

export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Platform;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

/** The part of an OCI image config that says how containers run. */
export interface RunConfig {
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly StopSignal?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface ImageContent {
  /** Base first; each gives its uncompressed tar. */
  readonly layers: readonly (() => Readable)[];
  readonly config: RunConfig;
  readonly platform?: Platform;
}

/** This machine's platform, in the words of OCI. */
export const localPlatform: Platform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch,
};

/** Writes the layout into the folder, which it makes; resolves to the manifest's descriptor. */
export async function writeLayout(folder: string, image: ImageContent): Promise<Descriptor> {
  const blobs = join(folder, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const layers: Descriptor[] = [];
  const diffIds: string[] = [];
  for (const tar of image.layers) {
    const layer = await writeLayer(blobs, tar());
    layers.push(layer.descriptor);
    diffIds.push(layer.diffId);
  }
  const platform = image.platform ?? localPlatform;
  const config = await writeJson(blobs, mediaTypes.config, {
    ...platform,
    config: image.config,
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = await writeJson(blobs, mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config,
    layers,
  });
  const described = { ...manifest, platform };
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [described] };
  await writeFile(join(folder, "index.json"), JSON.stringify(index));
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return described;
}

export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

/** The tar of a folder's content, everything owned by root, the same bytes for the same content. */
export function tarOfFolder(folder: string): Readable {
  const order = 'cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z';
  const tar =
    "bsdtar --format gnutar --no-recursion --uid 0 --gid 0 --uname '' --gname '' --null -T - -cf -";
  return outputOf(["sh", "-c", `set -e; ${order} | ${tar}`, "sh", folder]);
}

/** What a program writes on stdout; the stream fails where the program does. */
export function outputOf(argv: readonly string[]): Readable {
  const child = start(argv, { stdio: ["ignore", "pipe", "inherit"] });
  const output = new PassThrough();
  child.on("error", (error) => output.destroy(error));
  child.on("close", (status) => {
    if (status === 0) output.end();
    else output.destroy(new Fault("internal", `"${argv[0]}" failed with status ${status}`));
  });
  child.stdout?.pipe(output, { end: false });
  return output;
}

async function writeLayer(
  blobs: string,
  tar: Readable,
): Promise<{ readonly descriptor: Descriptor; readonly diffId: string }> {
  const uncompressed = createHash("sha256");
  const compressed = createHash("sha256");
  const temporary = join(blobs, "layer.new");
  let size = 0;
  await pipeline(
    tar,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        uncompressed.update(chunk);
        yield chunk;
      }
    },
    createGzip(),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        compressed.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(temporary),
  );
  const digest = `sha256:${compressed.digest("hex")}`;
  await rename(temporary, join(blobs, digest.slice("sha256:".length)));
  const descriptor = { mediaType: mediaTypes.layer, digest, size };
  return { descriptor, diffId: `sha256:${uncompressed.digest("hex")}` };
}

async function writeJson(blobs: string, mediaType: string, value: unknown): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value));
  const hash = createHash("sha256").update(bytes).digest("hex");
  await writeFile(join(blobs, hash), bytes);
  return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
}
