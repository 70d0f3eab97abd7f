/** For tests: images made from nothing, as bytes. Layers are written here entry by entry, so that they can be wrong. */
import { gzipSync } from "node:zlib";
import { digestOf } from "../digest.ts";
import { encodePax, paddingOf, sealHeader } from "../tar-header.ts";

export interface TestEntry {
  readonly name: string;
  /** tar's type flag; "0", a file, where it is not given. */
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: readonly [major: number, minor: number];
  readonly pax?: Readonly<Record<string, string>>;
}

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

export function tarOf(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(tarEntry), Buffer.alloc(1024)]);
}

function tarEntry(entry: TestEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? "");
  const header = Buffer.alloc(512);
  const octal = (value: number, offset: number) =>
    header.write(`${value.toString(8).padStart(7, "0")}\0`, offset, "latin1");
  header.write(entry.name, 0, 100);
  octal(entry.mode ?? 0o644, 100);
  octal(entry.uid ?? 0, 108);
  octal(entry.gid ?? 0, 116);
  header.write("00000000000\0", 136, "latin1");
  header.write(entry.type ?? "0", 156, "latin1");
  header.write(entry.linkName ?? "", 157, 100);
  header.write("ustar\x0000", 257, "latin1");
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  octal(entry.device?.[0] ?? 0, 329);
  octal(entry.device?.[1] ?? 0, 337);
  const pax = encodePax(new Map(Object.entries(entry.pax ?? {})));
  return [...pax, sealHeader(header), content, Buffer.alloc(paddingOf(content.length))];
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
