import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Lab } from "../lab.ts";
import { run } from "../process.ts";
import { blobPath, outputOf, tarOfFolder, writeLayout } from "./oci-layout.ts";

const work = mkdtempSync(join(tmpdir(), "swarm-push-"));
after(() => rmSync(work, { recursive: true }));

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const tree = join(work, "tree");
mkdirSync(join(tree, "folder"), { recursive: true });
writeFileSync(join(tree, "folder", "file with spaces"), "content");
symlinkSync("folder", join(tree, "link"));

test("writeLayout() names every blob by its digest, and a folder's image is always the same", async () => {
  const content = { layers: [() => tarOfFolder(tree)], config: { Cmd: ["sh"] } };
  const first = await writeLayout(join(work, "first"), content);
  const second = await writeLayout(join(work, "second"), content);
  assert.equal(first.digest, second.digest);
  const manifestBytes = readFileSync(blobPath(join(work, "first"), first.digest));
  assert.equal(sha256(manifestBytes), first.digest);
  assert.equal(manifestBytes.length, first.size);
  const manifest = JSON.parse(manifestBytes.toString());
  const config = readFileSync(blobPath(join(work, "first"), manifest.config.digest));
  const layer = readFileSync(blobPath(join(work, "first"), manifest.layers[0].digest));
  assert.equal(sha256(layer), manifest.layers[0].digest);
  assert.deepEqual(JSON.parse(config.toString()).rootfs.diff_ids, [sha256(gunzipSync(layer))]);
  const names = await run(["bsdtar", "-tf", "-"], { input: layer });
  assert.equal(names, "./folder/\n./folder/file with spaces\n./link\n");
});

test("writeLayout() fails when the program that makes a layer fails", async () => {
  const layers = [() => outputOf(["sh", "-c", "echo half; exit 3"])];
  await assert.rejects(writeLayout(join(work, "half"), { layers, config: {} }), /status 3/);
});

test("an image that was pushed is what the registry serves, and can be pushed again", async () => {
  await using lab = await Lab.up({
    name: `test-push-${process.pid}`,
    cluster: false,
    images: [],
  });
  const layout = join(work, "pushed");
  const content = { layers: [() => tarOfFolder(tree)], config: { Cmd: ["sh"] } };
  const { digest } = await writeLayout(layout, content);
  await lab.registry.push(layout, "some/image:tag");
  await lab.registry.push(layout, "some/image:other");
  const get = (path: string) =>
    lab.host("h1").run("busybox", ["wget", "-qO-", `http://registry:5000/v2/${path}`]);
  assert.deepEqual(JSON.parse(await get("some/image/tags/list")).tags.toSorted(), ["other", "tag"]);
  const manifest = readFileSync(blobPath(layout, digest), "utf8");
  assert.equal(await get(`some/image/blobs/${JSON.parse(manifest).config.digest}`), readConfig());
  await lab.registry.stop();
  await assert.rejects(
    lab.registry.push(layout, "some/image:tag"),
    /Cannot push .*the connection was refused/,
  );
  await assert.rejects(lab.registry.push(layout, "no tag"), /usage/);

  function readConfig(): string {
    return readFileSync(blobPath(layout, JSON.parse(manifest).config.digest), "utf8");
  }
});
