import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { checkPackage } from "./check-package.ts";
import { ownPackage, packOwn } from "./own-package.ts";
import { findPackages, versionOf } from "./package-file.ts";

const folder = await mkdtemp(join(tmpdir(), "packages-"));
after(() => rm(folder, { recursive: true }));

async function put(path: string, text = ""): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

test("packages, of a folder the newest version for each architecture", async () => {
  const names = [
    "1.9.0-linux-x64",
    "1.10.0-rc.1-linux-x64",
    "1.10.0-linux-x64",
    "1.10.0-linux-arm64",
  ];
  for (const name of names) await put(`many/swarm-${name}.tar.gz`);
  await put("many/swarm_1.11.0_amd64.deb");
  const found = await findPackages(join(folder, "many"));
  assert.equal(versionOf(found), "1.10.0");
  assert.deepEqual(Object.keys(found).toSorted(), ["arm64", "x64"]);
  const one = await findPackages(join(folder, "many/swarm-1.9.0-linux-x64.tar.gz"));
  assert.deepEqual([versionOf(one), Object.keys(one)], ["1.9.0", ["x64"]]);
});

test("packages, what is none is refused with what one is called", async () => {
  await put("none/readme");
  await assert.rejects(
    findPackages(join(folder, "none")),
    /no file swarm-VERSION-linux-ARCH\.tar\.gz/,
  );
  await assert.rejects(findPackages(join(folder, "none/readme")), /a package is called swarm-/);
  await assert.rejects(findPackages(join(folder, "nowhere")), /no such file or folder/);
});

test("packages, an installation makes one of itself, without settings that were changed here", async () => {
  const files = {
    "usr/lib/swarm/swarmd.js": "code",
    "usr/bin/swarmd": "start",
    "etc/swarm/swarmd.yml": "default",
  };
  let manifest = "";
  for (const [path, text] of Object.entries(files)) {
    await put(`host/${path}`, text);
    manifest += `${createHash("sha256").update(text).digest("hex")}  ${path}\n`;
  }
  const lib = "host/usr/lib/swarm";
  for (const [name, text] of Object.entries({
    manifest,
    version: "1.2.0\n",
    "install.sh": "i",
    "check-host": "c",
  })) {
    await put(`${lib}/${name}`, text);
  }
  await put("host/etc/swarm/swarmd.yml", "mine");
  await mkdir(join(folder, "out"));
  const own = {
    installation: join(folder, lib),
    folder: join(folder, "out"),
    arch: "x64",
    root: join(folder, "host"),
  } as const;
  const file = await ownPackage(own);
  assert(file !== undefined);
  await packOwn(own, file);
  await checkPackage(file);
  const names = execFileSync("tar", ["-tzf", file.path]).toString();
  assert.match(names, /^swarm-1\.2\.0-linux-x64\/root\/usr\/lib\/swarm\/swarmd\.js$/m);
  assert.doesNotMatch(names, /swarmd\.yml/);
  assert.equal(await ownPackage({ ...own, installation: folder }), undefined);
});

test("packages, an installation that was changed makes none", async () => {
  const lib = "broken/usr/lib/swarm";
  await put(`${lib}/manifest`, `${"0".repeat(64)}  usr/lib/swarm/version\n`);
  await put(`${lib}/version`, "1.2.0\n");
  const own = {
    installation: join(folder, lib),
    folder,
    arch: "x64",
    root: join(folder, "broken"),
  } as const;
  const file = await ownPackage(own);
  assert(file !== undefined);
  await assert.rejects(packOwn(own, file), {
    code: "data-loss",
    message: /is not what was installed/,
  });
});
