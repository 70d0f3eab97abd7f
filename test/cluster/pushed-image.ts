/** Images made for one test: busybox and a file on top of it, in a lab's registry, whose files can be damaged. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "#lab/lab.ts";
import { ensureImage } from "#lab/registry/images.ts";
import { blobPath, outputOf, tarOfFolder, writeLayout } from "#lab/registry/oci-layout.ts";

export interface PushedImage {
  /** By tag, as hosts of the lab name it. */
  readonly reference: string;
  readonly manifestDigest: string;
  /** Of the packed layer that no other image has. */
  readonly layerDigest: string;
}

/** `file`: what the upper layer holds; without it a few bytes that no other image has. */
export async function pushImage(
  lab: Lab,
  name: string,
  file: Uint8Array = randomBytes(64),
): Promise<PushedImage> {
  const work = await mkdtemp(join(tmpdir(), "pushed-image-"));
  try {
    const root = join(work, "root");
    const layout = join(work, "layout");
    await mkdir(root);
    await writeFile(join(root, "file"), file);
    const base = await busyboxLayer();
    const layers = [() => outputOf(["zcat", base]), () => tarOfFolder(root)];
    const { digest } = await writeLayout(layout, { layers, config: { Env: ["PATH=/bin"] } });
    const [, upper] = await layersOf(blobPath(layout, digest));
    await lab.registry.push(layout, `${name}:1`);
    return {
      reference: `registry:5000/${name}:1`,
      manifestDigest: digest,
      layerDigest: upper ?? "",
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Replaces a blob's bytes in the registry's storage; disposing puts the good ones back. */
export async function damageBlob(
  lab: Lab,
  digest: string,
  damage: (good: Buffer) => Uint8Array,
): Promise<AsyncDisposable> {
  const hex = digest.slice("sha256:".length);
  const blobs = "docker/registry/v2/blobs/sha256";
  const path = join(lab.registry.storageRoot, blobs, hex.slice(0, 2), hex, "data");
  const good = await readFile(path);
  await writeFile(path, damage(good));
  return { [Symbol.asyncDispose]: () => writeFile(path, good) };
}

async function busyboxLayer(): Promise<string> {
  const layout = await ensureImage("busybox");
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as Index;
  const [layer = ""] = await layersOf(blobPath(layout, index.manifests[0]?.digest ?? ""));
  return blobPath(layout, layer);
}

interface Index {
  readonly manifests: readonly { readonly digest: string }[];
}

async function layersOf(manifestPath: string): Promise<readonly string[]> {
  const manifest = JSON.parse(await readFile(manifestPath, "utf8")) as Manifest;
  return manifest.layers.map(({ digest }) => digest);
}

interface Manifest {
  readonly layers: readonly { readonly digest: string }[];
}
