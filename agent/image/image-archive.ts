/**
 * What is in a tar that others made of images: an OCI layout (image-layout.md), or what "docker save" writes, which has a
 * manifest.json instead or as well. Typed values from foreign documents; pure.
 */
import { Fault } from "#proto/fault.ts";
import { digestOf } from "#registry/digest.ts";
import {
  type JsonObject,
  parseJson,
  parseList,
  parseObject,
  parseOptional,
  parseText,
} from "#registry/foreign-json.ts";
import { formatReference, parseReference, type Reference } from "#registry/reference.ts";
import { parseManifest, type PlatformManifest } from "#registry/manifest.ts";

/** An image of an OCI layout's index. */
export interface LayoutImage extends PlatformManifest {
  /** Full names; where there are none, docker's manifest.json may have them. */
  readonly references: readonly Reference[];
}

/** An image of docker's manifest.json. */
export interface DockerImage {
  /** Path of the config in the archive. */
  readonly config: string;
  readonly references: readonly Reference[];
  /** Paths of the layers in the archive, base first. */
  readonly layers: readonly string[];
}

/** A file of the archive. */
export interface ArchiveFile {
  readonly digest: string;
  readonly sizeBytes: number;
}

const nameAnnotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

export function parseLayoutIndex(bytes: Uint8Array): readonly LayoutImage[] {
  const manifest = parseManifest(bytes);
  if (manifest.kind !== "index") throw refusal("its index.json is no index of images");
  const documents = parseList(
    parseObject(parseJson(bytes), "index.json")["manifests"],
    "manifests",
    parseObject,
  );
  return manifest.manifests.map((descriptor, index) => ({
    ...descriptor,
    references: referencesOf(documents[index] ?? {}),
  }));
}

/** The full name, else a name that is more than a tag. */
function referencesOf(descriptor: JsonObject): readonly Reference[] {
  const annotations = parseOptional(descriptor["annotations"], "annotations", parseObject) ?? {};
  for (const key of nameAnnotations) {
    const name = parseOptional(annotations[key], key, parseText);
    // A tag alone ("1.0") says of which image to nobody.
    if (name !== undefined && /[/:]/.test(name)) return [parseName(name)];
  }
  return [];
}

export function parseDockerManifest(bytes: Uint8Array): readonly DockerImage[] {
  return parseList(parseJson(bytes), "manifest.json", (value, where) => {
    const image = parseObject(value, where);
    return {
      config: parseText(image["Config"], `${where}.Config`),
      references: parseList(image["RepoTags"], `${where}.RepoTags`, (tag, place) =>
        parseName(parseText(tag, place)),
      ),
      layers: parseList(image["Layers"], `${where}.Layers`, parseText),
    };
  });
}

function parseName(name: string): Reference {
  const reference = parseReference(name);
  if (reference.digest === undefined) return reference;
  const { registry, repository, tag = "latest" } = reference;
  return { registry, repository, tag };
}

/** The manifest that makes an image of the pieces. The same pieces make the same manifest. */
export function composeManifest(
  config: ArchiveFile,
  layers: readonly ArchiveFile[],
): { readonly digest: string; readonly bytes: Buffer } {
  const descriptor = (mediaType: string, { digest, sizeBytes }: ArchiveFile) => ({
    mediaType,
    digest,
    size: sizeBytes,
  });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      // What is in them their first bytes tell.
      layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar", layer)),
    }),
  );
  return { digest: digestOf(bytes), bytes };
}

/** An image to be written. */
export interface SavedImage {
  readonly manifest: { readonly mediaType: string; readonly digest: string; readonly size: number };
  readonly references: readonly string[];
  readonly configDigest: string;
  readonly layerDigests: readonly string[];
}

/** The small files of an archive that both kinds of readers take. */
export function composeArchive(
  images: readonly SavedImage[],
): readonly { readonly name: string; readonly bytes: Buffer }[] {
  const manifests = images.flatMap(({ manifest, references }) =>
    references.length === 0
      ? [manifest]
      : references.map((name) => ({
          ...manifest,
          annotations: {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": parseReference(name).tag ?? "latest",
          },
        })),
  );
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests,
  };
  const docker = images.map(({ configDigest, references, layerDigests }) => ({
    Config: blobPath(configDigest),
    RepoTags: references.map(familiar),
    Layers: layerDigests.map(blobPath),
  }));
  const json = (name: string, value: unknown) => ({
    name,
    bytes: Buffer.from(JSON.stringify(value)),
  });
  return [
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", index),
    json("manifest.json", docker),
  ];
}

export function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** As docker writes names: "nginx:1" of "docker.io/library/nginx:1". */
function familiar(reference: string): string {
  return formatReference(parseReference(reference)).replace(/^docker\.io\/(?:library\/)?/, "");
}

export function refusal(why: string): Fault {
  return new Fault("failed-precondition", `this is no archive of images: ${why}`);
}
