/** What is read from layers directly, and mounted, on a real disk. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readImageFile } from "./image-files.ts";
import { layersMax, linkLayers, overlayOptions, prepareRootfs } from "./rootfs.ts";

async function folder() {
  const path = await mkdtemp(join(tmpdir(), "swarm-layers-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function layer(root: string, name: string, files: Readonly<Record<string, string>>) {
  const path = join(root, name);
  await mkdir(join(path, "etc"), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
  return path;
}

test("readImageFile, the topmost layer wins; links are followed inside the image", async () => {
  await using root = await folder();
  const base = await layer(root.path, "a", { "etc/passwd": "base", "etc/real": "linked" });
  const top = await layer(root.path, "b", { "etc/passwd": "top" });
  await symlink("/etc/real", join(top, "etc/group"));
  await symlink("loop", join(top, "etc/loop"));
  assert.equal(await readImageFile([base, top], "/etc/passwd"), "top");
  assert.equal(await readImageFile([base, top], "/etc/group"), "linked");
  assert.equal(await readImageFile([base, top], "/etc/loop"), "");
  assert.equal(await readImageFile([base, top], "/etc/none"), "");
});

test("readImageFile, a whiteout hides what is below it", async () => {
  await using root = await folder();
  const base = await layer(root.path, "a", { "etc/passwd": "base" });
  const top = await layer(root.path, "b", {});
  execFileSync("mknod", [join(top, "etc/passwd"), "c", "0", "0"]);
  assert.equal(await readImageFile([base, top], "/etc/passwd"), "");
});

test("readImageFile, a link in the middle of the path: followed inside the image alone", async () => {
  await using root = await folder();
  await writeFile(join(root.path, "passwd"), "the host's");
  const inside = await layer(root.path, "a", { "etc/passwd": "the image's" });
  await rename(join(inside, "etc"), join(inside, "system"));
  await symlink("../../system", join(inside, "etc"));
  const outside = join(root.path, "b");
  await mkdir(outside);
  await symlink(root.path, join(outside, "etc"));
  assert.equal(await readImageFile([inside], "/etc/passwd"), "the image's");
  assert.equal(await readImageFile([outside], "/etc/passwd"), "");
});

test("overlay, as many layers as are allowed: mounts", async () => {
  await using root = await folder();
  const names = Array.from({ length: layersMax }, (_, index) => `layer-${index}`);
  const layers = await Promise.all(
    names.map((name) => layer(root.path, name, { "etc/top": name, [`etc/${name}`]: "" })),
  );
  const task = join(root.path, "task");
  await mkdir(task);
  await linkLayers(task, layers);
  await prepareRootfs(join(task, "1"));
  // In a namespace of its own, as for a container: gone with the shell.
  const script =
    'mount -t overlay overlay -o "$1" 1/rootfs && cat 1/rootfs/etc/top && ls 1/rootfs/etc | wc -l';
  const args = ["--mount", "sh", "-c", script, "sh", overlayOptions(layers.length, "1")];
  const said = execFileSync("unshare", args, { cwd: task, encoding: "utf8" });
  assert.equal(said, `layer-${layersMax - 1}${layersMax + 1}\n`);
  assert.equal((await readFile("/proc/mounts", "utf8")).includes(root.path), false);
});
