/** What is unpacked here beside what umoci makes of the same image, file by file. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as fc from "fast-check";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { parseReference } from "#registry/reference.ts";
import { imageOf, type TestImage } from "#registry/testing/test-image.ts";
import { systemExec } from "../exec.ts";
import { ImageStore } from "./image-store.ts";
import { nastyLayers, packLayers } from "./testing/nasty-image.ts";
import { parentOf } from "./tar-filter.ts";
import type { TestEntry } from "./testing/test-tar.ts";
import { readTree, type TreeNode } from "./testing/tree.ts";

const modules = { clock: systemClock, random: systemRandom, log: silentLog, exec: systemExec };
const signal = () => AbortSignal.timeout(60_000);

/** On a machine that is busy with other tests, too. */
const timeLimitMs = 20_000;

describe("an unpacked image, beside umoci's", () => {
  let root: string;
  let running: Promise<void> = Promise.resolve();
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "test-umoci-"));
  });
  after(async () => {
    // The time limit does not wait for it.
    await Promise.allSettled([running]);
    await rm(root, { recursive: true, force: true });
  });

  async function compare(layers: readonly (readonly TestEntry[])[]): Promise<void> {
    await using cleanup = new AsyncDisposableStack();
    const folder = await mkdtemp(join(root, "image-"));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const image = imageOf(packLayers(layers));
    const theirs = await unpackWithUmoci(folder, image);
    const ours = await unpackHere(cleanup, folder, image);
    assertSame(await readTree(ours), await readTree(theirs), undatedFolders(layers));
  }

  test("of a folder that becomes a file, above one that was made opaque, is the same tree", async () => {
    const deep = { name: "m/c/x/a/", type: "5" } as const;
    const opaque = { name: "m/c/x/.wh..wh..opq" };
    await compare([[deep], [opaque, { name: "m", content: "" }], []]);
  });

  test("of any shape, is the same tree", async () => {
    const property = fc.asyncProperty(nastyLayers, (layers) => (running = compare(layers)));
    await fc.assert(property, {
      numRuns: 40,
      interruptAfterTimeLimit: timeLimitMs,
    });
  });
});

/**
 * Folders whose times are nobody's: those of which a layer has no entry, made when they were needed, and those in which
 * they are made, because umoci lets their times change.
 */
function undatedFolders(layers: readonly (readonly TestEntry[])[]): ReadonlySet<string> {
  const undated = new Set<string>();
  for (const entries of layers) {
    const declared = new Set<string>();
    for (const { name, pax, type } of entries) {
      const path = (pax?.["path"] ?? name).replace(/\/$/, "");
      for (let above = parentOf(path); above !== ""; above = parentOf(above)) {
        if (!declared.has(above)) undated.add(above).add(parentOf(above));
      }
      if (type === "5") declared.add(path);
    }
  }
  return undated;
}

function assertSame(
  ours: ReadonlyMap<string, TreeNode>,
  theirs: ReadonlyMap<string, TreeNode>,
  undated: ReadonlySet<string>,
): void {
  const comparable = (tree: ReadonlyMap<string, TreeNode>) =>
    Object.fromEntries(
      [...tree].map(([path, node]) => {
        return [
          path,
          undated.has(path) && /^4[0-7]{4}$/.test(node.mode) ? { ...node, mtimeNs: "" } : node,
        ];
      }),
    );
  assert.deepEqual(comparable(ours), comparable(theirs));
}

async function unpackHere(
  cleanup: AsyncDisposableStack,
  folder: string,
  image: TestImage,
): Promise<string> {
  const store = await ImageStore.open(
    {
      root: join(folder, "store"),
      insecureRegistries: [],
      platform: { os: "linux", architecture: "amd64" },
    },
    modules,
  );
  cleanup.use(store);
  for (const { digest, bytes } of [image.manifest, ...image.blobs]) {
    await store.content.write({ digest, sizeBytes: bytes.length }, bytes);
  }
  const reference = parseReference("example.com/nasty:1");
  const [installed] = await store.install(image.manifest.digest, [reference], signal());
  const lower = (installed?.layers ?? []).toReversed();
  const merged = join(folder, "merged");
  await mkdir(merged);
  // An overlay that nobody writes to needs two layers.
  const empty = join(folder, "empty");
  await mkdir(empty);
  const options = `lowerdir=${[...lower, empty].join(":")}`;
  await systemExec.run("mount", ["-t", "overlay", "-o", options, "none", merged]);
  cleanup.defer(async () => void (await systemExec.run("umount", [merged])));
  return merged;
}

async function unpackWithUmoci(folder: string, image: TestImage): Promise<string> {
  const layout = join(folder, "layout");
  const blobs = join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  for (const { digest, bytes } of [image.manifest, ...image.blobs]) {
    await writeFile(join(blobs, digest.slice("sha256:".length)), bytes);
  }
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const manifest = {
    mediaType: image.manifestType,
    digest: image.manifest.digest,
    size: image.manifest.bytes.length,
    annotations: { "org.opencontainers.image.ref.name": "1" },
  };
  const index = JSON.stringify({ schemaVersion: 2, manifests: [manifest] });
  await writeFile(join(layout, "index.json"), index);
  const bundle = join(folder, "bundle");
  await systemExec.run("umoci", ["unpack", "--image", `${layout}:1`, bundle]);
  return join(bundle, "rootfs");
}
