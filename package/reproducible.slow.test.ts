import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ownArch } from "./testing/test-packages.ts";

const run = promisify(execFile);
const repository = fileURLToPath(new URL("..", import.meta.url));

/** What the programs and their packages are made from. */
const folders =
  /^(LICENSE|package\.json|(agent|bundle|manager|package|proto|provision|registry|stacks|swarmctl|swarmd)\/)/;

/** What a clone has, with the packages and the generated code that setup would make. */
async function copySources(target: string): Promise<void> {
  const listing = ["ls-files", "--cached", "--others", "--exclude-standard"];
  const { stdout } = await run("git", ["-C", repository, ...listing]);
  for (const file of stdout.split("\n").filter((name) => folders.test(name))) {
    await mkdir(join(target, dirname(file)), { recursive: true });
    await cp(join(repository, file), join(target, file));
  }
  await cp(join(repository, "proto/gen"), join(target, "proto/gen"), { recursive: true });
  await symlink(join(repository, "node_modules"), join(target, "node_modules"));
}

/** The digests of what is built from `sources`, by the files' names. */
async function build(
  sources: string,
  { zone, umask }: { zone: string; umask: string },
): Promise<ReadonlyMap<string, string>> {
  const target = join(sources, "dist");
  const argv = [join(sources, "package/main.ts"), "--arch", ownArch, "--out", target];
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1000000000", TZ: zone };
  const line = `umask ${umask}; exec "$@"`;
  await run("sh", ["-c", line, "sh", process.execPath, ...argv], { env, timeout: 300_000 });
  const digests = new Map<string, string>();
  for (const name of (await readdir(target)).sort()) {
    const digest = createHash("sha256").update(await readFile(join(target, name)));
    digests.set(name, digest.digest("hex"));
  }
  return digests;
}

test("packages, the same sources give the same bytes in another folder, at another time and place, with another umask", async () => {
  const folder = await mkdtemp(join(tmpdir(), "reproducible-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const [here, there] = [join(folder, "here"), join(folder, "in another place")];
  await copySources(here);
  await cp(here, there, { recursive: true, verbatimSymlinks: true });
  // As git checks files out with that umask.
  await run("chmod", ["-R", "go=", there]);
  const digests = await build(here, { zone: "Asia/Tokyo", umask: "022" });
  assert.equal(digests.size, 2, "a tarball and a .deb");
  assert.deepEqual(await build(there, { zone: "UTC", umask: "077" }), digests);
});
