/**
 * Manifests: what an image consists of (OCI image manifest, Docker schema 2) or which manifest serves which platform
 * (OCI index, Docker manifest list). Turns a registry's bytes into typed values; whether the bytes are the right ones
 * (their digest) is checked by whoever fetched them. Pure.
 *
 * The kind is told by the document alone, never by the Content-Type beside it: only the document is covered by its
 * digest. One that could be read as both kinds is refused (CVE-2021-41190).
 */
import { Fault } from "#proto/fault.ts";
import { parseDigest } from "./digest.ts";
import {
  type JsonObject,
  parseCount,
  parseJson,
  parseList,
  parseObject,
  parseOptional,
  parseText,
} from "./foreign-json.ts";
import { type Platform, rankPlatform } from "./platform.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface PlatformManifest extends Descriptor {
  readonly platform?: Platform;
}

export type Manifest =
  | { readonly kind: "image"; readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | { readonly kind: "index"; readonly manifests: readonly PlatformManifest[] };

/** The distribution specification's own limit for manifests. */
export const manifestBytesMax = 4 * 1024 * 1024;

/** As many as a container's mount options can name, and what Docker allows. */
const layersMax = 127;

const manifestTypes = {
  "application/vnd.oci.image.manifest.v1+json": "image",
  "application/vnd.docker.distribution.manifest.v2+json": "image",
  "application/vnd.oci.image.index.v1+json": "index",
  "application/vnd.docker.distribution.manifest.list.v2+json": "index",
} as const satisfies Record<string, Manifest["kind"]>;

const kindOfType = new Map<string, Manifest["kind"]>(Object.entries(manifestTypes));

/** The Accept header of a manifest request. */
export const manifestAccept = Object.keys(manifestTypes).join(", ");

const configTypes: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);

/** Tar, plain or compressed; which compression it is, its first bytes tell. */
const layerTypePattern =
  /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1\.tar(?:[+.](?:gzip|zstd))?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(?:gzip|zstd))?)$/;

export function parseManifest(bytes: Uint8Array): Manifest {
  const document = parseObject(parseJson(bytes), "the manifest");
  return kindOf(document) === "index" ? parseIndex(document) : parseImage(document);
}

/** The manifest of the index that suits the platform best; of equals the first. */
export function selectPlatform(
  manifests: readonly PlatformManifest[],
  wanted: Platform,
): PlatformManifest {
  const ranked = manifests.flatMap((manifest) => {
    const rank = manifest.platform && rankPlatform(manifest.platform, wanted);
    return rank === undefined ? [] : [{ manifest, rank }];
  });
  const [best] = ranked.toSorted((a, b) => a.rank - b.rank);
  if (best !== undefined) return best.manifest;
  // An index of one image need not say for what it is.
  const [only, ...others] = manifests;
  if (only !== undefined && only.platform === undefined && others.length === 0) return only;
  const offered = manifests.flatMap(({ platform }) =>
    platform === undefined || platform.os === "unknown" ? [] : [formatPlatform(platform)],
  );
  throw new Fault(
    "not-found",
    `it is for ${[...new Set(offered)].join(", ") || "no platform"}, not for ${formatPlatform(wanted)}`,
  );
}

function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant]
    .filter((part) => part !== undefined)
    .join("/");
}

function kindOf(document: JsonObject): Manifest["kind"] {
  const mediaType = parseOptional(document["mediaType"], "mediaType", parseText);
  if (
    document["schemaVersion"] === 1 ||
    mediaType?.includes("docker.distribution.manifest.v1+") === true
  ) {
    throw new Fault(
      "failed-precondition",
      "its manifest has the old format schema 1, which is not supported: push the image again with a current tool",
    );
  }
  if (document["manifests"] !== undefined && document["layers"] !== undefined) {
    throw new Fault("failed-precondition", "its manifest has both layers and manifests");
  }
  const byContent = document["manifests"] === undefined ? "image" : "index";
  if (mediaType === undefined) return byContent;
  const byType = kindOfType.get(mediaType);
  if (byType === undefined) {
    throw new Fault(
      "failed-precondition",
      `its manifest has the type "${mediaType}", which is not supported`,
    );
  }
  if (byType !== byContent) {
    throw new Fault(
      "failed-precondition",
      `its manifest has the type "${mediaType}" and other content`,
    );
  }
  return byType;
}

function parseIndex(document: JsonObject): Manifest {
  return {
    kind: "index",
    manifests: parseList(document["manifests"], "manifests", parsePlatformManifest),
  };
}

function parsePlatformManifest(value: unknown, where: string): PlatformManifest {
  const platform = parseOptional(
    parseObject(value, where)["platform"],
    `${where}.platform`,
    parsePlatform,
  );
  return {
    ...parseDescriptor(value, where),
    ...(platform === undefined ? {} : { platform }),
  };
}

/** What the config of one image says that it is made for. */
export function parseConfigPlatform(bytes: Uint8Array): Platform {
  return parsePlatform(parseJson(bytes), "the config");
}

function parsePlatform(value: unknown, where: string): Platform {
  const platform = parseObject(value, where);
  const variant = parseOptional(platform["variant"], `${where}.variant`, parseText);
  return {
    os: parseText(platform["os"], `${where}.os`),
    architecture: parseText(platform["architecture"], `${where}.architecture`),
    ...(variant === undefined || variant === "" ? {} : { variant }),
  };
}

function parseImage(document: JsonObject): Manifest {
  const config = parseDescriptor(document["config"], "config");
  if (!configTypes.has(config.mediaType)) {
    throw new Fault(
      "failed-precondition",
      `it is not a container image: its config has the type "${config.mediaType}"`,
    );
  }
  const layers = parseList(document["layers"], "layers", parseLayer);
  if (layers.length === 0) throw new Fault("failed-precondition", "it has no layers");
  if (layers.length > layersMax) {
    throw new Fault(
      "failed-precondition",
      `it has ${layers.length} layers, more than ${layersMax}`,
    );
  }
  return { kind: "image", config, layers };
}

function parseLayer(value: unknown, where: string): Descriptor {
  const layer = parseDescriptor(value, where);
  if (layerTypePattern.test(layer.mediaType)) return layer;
  throw new Fault(
    "failed-precondition",
    `${where} has the type "${layer.mediaType}", which is not supported`,
  );
}

function parseDescriptor(value: unknown, where: string): Descriptor {
  const descriptor = parseObject(value, where);
  return {
    mediaType: parseText(descriptor["mediaType"], `${where}.mediaType`),
    digest: parseDigestAt(descriptor["digest"], `${where}.digest`),
    sizeBytes: parseCount(descriptor["size"], `${where}.size`),
  };
}

function parseDigestAt(value: unknown, where: string): string {
  try {
    return parseDigest(parseText(value, where));
  } catch (error) {
    throw new Fault("failed-precondition", `${where}: ${Fault.from(error).message}`);
  }
}
