import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { debianNames } from "./architecture.ts";
import { debianVersion, writeDeb } from "./deb.ts";
import { hostPrograms } from "./host-programs.ts";
import { writePackageFolder } from "./package-folder.ts";
import {
  newer,
  older,
  openTestPackages,
  ownArch,
  type TestPackages,
} from "./testing/test-packages.ts";
import { ThrowawayHost } from "./testing/throwaway-host.ts";

let packages: TestPackages;

before(async () => {
  packages = await openTestPackages();
  for (const version of [older, newer]) {
    const contents = packages.contentsOf(version);
    const folder = await writePackageFolder(packages.folder, ownArch, contents);
    const tree = join(folder, "root");
    await writeDeb({ ...contents, arch: ownArch, tree, folder: packages.folder });
  }
  // The tree of the .deb is not that of the tarball.
  await writePackageFolder(join(packages.folder, "tarball"), ownArch, packages.contentsOf(newer));
});

after(async () => {
  await packages[Symbol.asyncDispose]();
});

const debOf = (version: string) => `/mnt/swarm_${version}_${debianNames[ownArch]}.deb`;
const tarball = `/mnt/tarball/swarm-${newer}-linux-${ownArch}/install.sh`;

test("deb, it installs, upgrades, is removed and purged, and settings are the administrator's", async () => {
  await using host = await ThrowawayHost.open(packages.folder);
  const fresh = await host.run("dpkg", "-i", debOf(older));
  assert.equal(fresh.status, 0, fresh.text);
  assert.equal(await host.sh("swarmd --version"), `swarmd ${older}`);
  assert.match(await host.sh("systemctl is-enabled swarmd.service"), /^enabled/);
  assert.equal(await host.sh("dpkg --verify swarm"), "");

  await host.sh("systemctl disable swarmd; echo 'log-level: debug' >/etc/swarm/swarmd.yml");
  await host.sh("mkdir -p /var/lib/swarm/agent; touch /var/lib/swarm/agent/kept");
  const upgraded = await host.run("dpkg", "-i", debOf(newer));
  assert.equal(upgraded.status, 0, upgraded.text);
  assert.equal(
    await host.sh("cat /usr/lib/swarm/version /etc/swarm/swarmd.yml"),
    `${newer}\nlog-level: debug`,
  );
  assert.match(await host.sh("systemctl is-enabled swarmd.service"), /^disabled/);

  await host.run("dpkg", "--remove", "swarm");
  assert.equal(await host.sh("ls /usr/bin/swarm* /usr/lib/swarm 2>/dev/null"), "");
  assert.equal(await host.sh("ls /etc/swarm/swarmd.yml /var/lib/swarm/agent/kept | wc -l"), "2");
  const purged = await host.run("dpkg", "--purge", "swarm");
  assert.equal(purged.status, 0, purged.text);
  assert.equal(
    await host.sh(
      "ls -d /etc/swarm 2>/dev/null; ls -A /var/lib/swarm; dpkg-query -W swarm 2>/dev/null",
    ),
    "",
  );
});

test("deb, a purge waits for swarmd's end: what it may still use stays", async () => {
  await using host = await ThrowawayHost.open(packages.folder);
  await host.run("dpkg", "-i", debOf(older));
  await host.sh("touch /var/lib/swarm/kept");
  const refused = await host.runBesideSwarmd("dpkg", "--purge", "swarm");
  assert.notEqual(refused.status, 0);
  assert.match(refused.text, /swarmd still runs: stop it, and do this again/);
  assert.equal(await host.sh("ls /var/lib/swarm"), "kept");
  const again = await host.run("dpkg", "--purge", "swarm");
  assert.equal(again.status, 0, again.text);
  assert.equal(await host.sh("ls -A /var/lib/swarm"), "");
});

test("deb, install.sh takes its place and gives it back, without a loss of settings or data", async () => {
  await using host = await ThrowawayHost.open(packages.folder);
  await host.run("dpkg", "-i", debOf(older));
  await host.sh("echo 'log-level: debug' >/etc/swarm/swarmd.yml; touch /var/lib/swarm/kept");
  const wrong = await host.run(tarball, "--remove");
  assert.equal(wrong.status, 1);
  assert.match(wrong.text, /dpkg installed swarm here: remove it with apt-get remove swarm/);

  const taken = await host.run(tarball);
  assert.equal(taken.status, 0, taken.text);
  assert.match(taken.text, /taking the place of the package that dpkg installed/);
  assert.equal(await host.sh("dpkg-query -W swarm 2>/dev/null"), "");
  const here =
    "cat /usr/lib/swarm/version /etc/swarm/swarmd.yml; ls /var/lib/swarm; swarmd --version";
  const both = `${newer}\nlog-level: debug\nkept\nswarmd ${older}`;
  assert.equal(await host.sh(here), both);
  assert.match(await host.sh("systemctl is-enabled swarmd.service"), /^enabled/);

  const back = await host.run("dpkg", "--force-confold", "-i", debOf(newer));
  assert.equal(back.status, 0, back.text);
  assert.equal(await host.sh(here), both);
  assert.equal(await host.sh("ls /usr/lib/swarm/manifest 2>/dev/null"), "");
  assert.equal(await host.sh("dpkg --verify swarm | grep -v swarmd.yml"), "");
});

test("deb, versions before a release come before it", () => {
  assert.equal(debianVersion("1.0.0-rc.1"), "1.0.0~rc.1");
  assert.equal(debianVersion("1.0.0"), "1.0.0");
});

test("deb, it depends on what check-host asks for", async () => {
  const script = await readFile(new URL("check-host.sh", import.meta.url), "utf8");
  const programs = hostPrograms(script);
  const needed = programs.filter(({ needed }) => needed).map(({ debianPackage }) => debianPackage);
  for (const name of ["runc", "conmon", "iproute2", "nftables", "libarchive-tools"]) {
    assert.ok(needed.includes(name), `${name} is not among ${needed.join(", ")}`);
  }
  const versions = programs.flatMap(({ debianPackage, version }) =>
    version === undefined ? [] : [`${debianPackage} ${version}`],
  );
  assert.deepEqual(versions, ["conntrack 1.4.7"]);
});
