/**
 * Writes images as one tar that is an OCI layout and has docker's manifest.json, too. Layers are those that came from the
 * registry, byte for byte; whoever loads them gets the same digests.
 */
import { Fault } from "#proto/fault.ts";
import { parseJson, parseObject, parseOptional, parseText } from "#registry/foreign-json.ts";
import { manifestBytesMax } from "#registry/manifest.ts";
import { blobPath, composeArchive, type SavedImage } from "./image-archive.ts";
import type { ImageStore } from "./image-store.ts";
import type { ImageView } from "./image-views.ts";
import { blockBytes, encodeFileHeader, paddingOf } from "./tar-header.ts";

export interface ImageToSave {
  readonly view: ImageView;
  /** Under which names; none where it was named by its ID. */
  readonly references: readonly string[];
}

export async function* saveImages(
  images: readonly ImageToSave[],
  store: ImageStore,
): AsyncGenerator<Buffer> {
  const { content } = store;
  const saved = await Promise.all(images.map((image) => describeImage(image, store)));
  const digests = new Set(
    saved.flatMap(({ manifest, configDigest, layerDigests }) => [
      manifest.digest,
      configDigest,
      ...layerDigests,
    ]),
  );
  using _held = store.hold(digests);
  const sizes = new Map<string, number>();
  for (const digest of digests) sizes.set(digest, await sizeOf(digest, store));
  for (const { name, bytes } of composeArchive(saved)) {
    yield encodeFileHeader(name, bytes.length);
    yield Buffer.concat([bytes, Buffer.alloc(paddingOf(bytes.length))]);
  }
  for (const [digest, sizeBytes] of sizes) {
    yield encodeFileHeader(blobPath(digest), sizeBytes);
    yield* content.stream(digest);
    yield Buffer.alloc(paddingOf(sizeBytes));
  }
  yield Buffer.alloc(2 * blockBytes);
}

async function describeImage(
  { view, references }: ImageToSave,
  { content }: ImageStore,
): Promise<SavedImage> {
  const [image] = view.held;
  const bytes = await content.read(image.manifestDigest, manifestBytesMax);
  if (bytes === undefined) throw missing(image.manifestDigest);
  const mediaType = parseOptional(
    parseObject(parseJson(bytes), "the manifest")["mediaType"],
    "mediaType",
    parseText,
  );
  return {
    manifest: {
      mediaType: mediaType ?? "application/vnd.oci.image.manifest.v1+json",
      digest: image.manifestDigest,
      size: bytes.length,
    },
    references,
    configDigest: image.configDigest,
    layerDigests: image.parts.map(({ blob }) => blob.digest),
  };
}

async function sizeOf(digest: string, { content }: ImageStore): Promise<number> {
  const sizeBytes = await content.sizeOf(digest);
  if (sizeBytes === undefined) throw missing(digest);
  return sizeBytes;
}

function missing(digest: string): Fault {
  return new Fault("not-found", `its blob ${digest} is not on this node: pull the image again`);
}
