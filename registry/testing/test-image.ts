/** For tests: images made from nothing, as bytes. */
import { gzipSync } from "node:zlib";
import { digestOf } from "../digest.ts";

export interface TestBlob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface TestImage {
  readonly manifest: TestBlob;
  readonly manifestType: string;
  readonly blobs: readonly TestBlob[];
  readonly diffIds: readonly string[];
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json";
export const indexType = "application/vnd.oci.image.index.v1+json";
export const configType = "application/vnd.oci.image.config.v1+json";
export const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";

export function blobOf(content: Buffer | object): TestBlob {
  const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
  return { digest: digestOf(bytes), bytes };
}

export interface TestImageOptions {
  readonly config?: object;
  readonly architecture?: string;
  readonly compress?: (tar: Buffer) => Buffer;
}

export function imageOf(layers: readonly Buffer[], options: TestImageOptions = {}): TestImage {
  const compress = options.compress ?? ((tar: Buffer) => gzipSync(tar, { level: 1 }));
  const packed = layers.map((tar) => blobOf(compress(tar)));
  const diffIds = layers.map(digestOf);
  const config = blobOf({
    os: "linux",
    architecture: options.architecture ?? "amd64",
    config: options.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = blobOf({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptorOf(config, configType),
    layers: packed.map((layer) => descriptorOf(layer, layerType)),
  });
  return { manifest, manifestType, blobs: [config, ...packed], diffIds };
}

export function indexOf(images: readonly { image: TestImage; platform: object }[]): TestBlob {
  return blobOf({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: images.map(({ image, platform }) => ({
      ...descriptorOf(image.manifest, manifestType),
      platform,
    })),
  });
}

function descriptorOf(blob: TestBlob, mediaType: string): object {
  return { mediaType, digest: blob.digest, size: blob.bytes.length };
}
