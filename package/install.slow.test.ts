import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { writePackageFolder } from "./package-folder.ts";
import {
  newer,
  older,
  openTestPackages,
  ownArch,
  type TestPackages,
} from "./testing/test-packages.ts";
import { type Said, ThrowawayHost } from "./testing/throwaway-host.ts";

let packages: TestPackages;

before(async () => {
  packages = await openTestPackages();
  for (const version of [older, newer]) {
    await writePackageFolder(packages.folder, ownArch, packages.contentsOf(version));
  }
});

after(async () => {
  await packages[Symbol.asyncDispose]();
});

const folderOf = (version: string) => `/mnt/swarm-${version}-linux-${ownArch}`;

function install(host: ThrowawayHost, version: string, ...flags: string[]): Promise<Said> {
  return host.run(`${folderOf(version)}/install.sh`, ...flags);
}

/** Where files are that neither the package has nor the host had. */
const places =
  "/usr/lib/swarm /usr/bin /lib/systemd/system /etc/swarm /usr/share/man /usr/share/zsh";

/** What install.sh has left that it should not have, and files that are not as packaged. */
function faults(host: ThrowawayHost): Promise<string> {
  return host.sh(
    `find ${places} -name '*.swarm-new'
     ls -d /usr/lib/swarm.* 2>/dev/null
     cd / && sha256sum --quiet -c /usr/lib/swarm/manifest 2>&1`,
  );
}

async function fresh(): Promise<ThrowawayHost> {
  return await ThrowawayHost.open(packages.folder);
}

test("install, a fresh host has programs that run, and everything in its place", async () => {
  await using host = await fresh();
  const said = await install(host, older);
  assert.equal(said.status, 0, said.text);
  assert.match(said.text, /swarm 0\.1\.0 is installed\n$/);
  assert.equal(await faults(host), "");
  assert.equal(await host.sh("swarmd --version"), `swarmd ${older}`);
  assert.match(await host.sh("swarmctl version"), new RegExp(`^swarmctl ${older}`));
  assert.equal(await host.sh("swarmd --check >/dev/null && echo fine"), "fine");
  assert.equal(await host.sh("cat /usr/lib/swarm/version"), older);
  assert.match(await host.sh("systemctl is-enabled swarmd.service"), /^enabled/);
  const page = "/usr/share/man/man1/swarmctl-service-create.1.gz";
  assert.match(await host.sh(`zcat ${page}`), /^\.TH "SWARMCTL[^]*\\-\\-replicas/);
  // Nobody but root may change what root runs.
  assert.equal(
    await host.sh("find /usr/lib/swarm /usr/bin/swarm* '(' -not -user root -o -perm /022 ')'"),
    "",
  );

  const inode = await host.sh("stat -c %i /usr/lib/swarm/node");
  const again = await install(host, older);
  assert.deepEqual(again, { status: 0, text: `swarm ${older} is installed already\n` });
  assert.equal(await host.sh("stat -c %i /usr/lib/swarm/node"), inode);
});

test("install, settings that somebody changed stay, others follow the package", async () => {
  await using host = await fresh();
  await install(host, older);
  await host.sh("echo 'log-level: debug' >/etc/swarm/swarmd.yml");
  // A newer version's settings may be others, and what it has no more goes.
  await host.sh("echo 'log-level: info' >/etc/swarm/other; touch /usr/share/doc/swarm/gone");
  await host.sh("echo '0  usr/share/doc/swarm/gone' >>/usr/lib/swarm/manifest");
  const said = await install(host, newer);
  assert.match(said.text, /swarmd\.yml is yours and stays; what this version has is .*\.new/);
  assert.match(said.text, /swarm 0\.2\.0 is installed, where 0\.1\.0 was/);
  assert.equal(await host.sh("cat /etc/swarm/swarmd.yml"), "log-level: debug");
  assert.match(await host.sh("head -1 /etc/swarm/swarmd.yml.new"), /configuration of swarmd/);
  assert.equal(await host.sh("ls /etc/swarm /usr/share/doc/swarm | grep -c -e other -e gone"), "1");
});

test("install, an older version takes no newer one's place without --force", async () => {
  await using host = await fresh();
  await install(host, newer);
  const refused = await install(host, older);
  assert.equal(refused.status, 1);
  assert.match(refused.text, /0\.2\.0 is installed, and 0\.1\.0 is older: --force/);
  assert.equal(await host.sh("cat /usr/lib/swarm/version"), newer);
  const forced = await install(host, older, "--force");
  assert.equal(forced.status, 0, forced.text);
  assert.equal(await faults(host), "");
  assert.equal(await host.sh("cat /usr/lib/swarm/version"), older);
});

test("install, a run that was killed anywhere is repaired by the next", async () => {
  await using host = await fresh();
  await install(host, older);
  // Ends everything at its n-th call, as a power loss does.
  await host.sh(`mkdir /killer && cd /killer && cat >cp <<'TEXT' && chmod 755 cp && cp cp mv && cp cp systemctl
#!/bin/sh
name=\${0##*/}
case "$name $*" in "$(cat /killer/name)"*)
  left=$(($(cat /killer/left) - 1))
  echo $left >/killer/left
  # The first spares who calls it, and the call would still be made.
  [ $left -gt 0 ] || { kill -KILL -1; kill -KILL $$; } ;;
esac
exec "/bin/$name" "$@"
TEXT`);
  // Copying; before the folder is put aside; between its two renames; among the other files; near the end.
  const points = [
    ["cp", 3],
    ["mv", 1],
    ["mv", 2],
    ["mv", 5],
    ["systemctl --quiet enable", 1],
  ] as const;
  for (const [name, calls] of points) {
    // From nothing the unit is enabled, which is the end of it where no systemd runs.
    if (name.startsWith("systemctl")) await host.run("/usr/lib/swarm/install.sh", "--remove");
    const line = `echo ${name} >/killer/name; echo ${calls} >/killer/left
      PATH=/killer:$PATH ${folderOf(newer)}/install.sh; exit $?`;
    const killed = await host.run("sh", "-c", line);
    assert.equal(killed.status, 137, `${name} ${calls}: ${killed.text}`);
    const repaired = await install(host, newer);
    assert.equal(repaired.status, 0, repaired.text);
    assert.match(repaired.text, /repairing/);
    assert.equal(await faults(host), "");
    assert.equal(await host.sh("cat /usr/lib/swarm/version"), newer);
    assert.match(await host.sh("systemctl is-enabled swarmd.service"), /^enabled/);
    const back = await install(host, older, "--force");
    assert.equal(back.status, 0, back.text);
  }
});

test("install, whoever unpacked the tarball, everybody can run swarmctl and read about it", async () => {
  await using host = await fresh();
  await host.sh(`cp -r ${folderOf(older)} /copy && chmod -R go= /copy`);
  const said = await host.run("/copy/install.sh");
  assert.equal(said.status, 0, said.text);
  assert.match(
    await host.sh("setpriv --reuid 65534 --clear-groups swarmctl version"),
    new RegExp(`^swarmctl ${older}`),
  );
  const unread = "'(' -type d -not -perm 755 -o -type f -not -perm /044 ')'";
  assert.equal(
    await host.sh(`find /usr/lib/swarm $(sed 's,.* ,/,' /usr/lib/swarm/manifest) ${unread}`),
    "",
  );
});

test("install, what a host lacks is told, and nothing is changed; --force goes on", async () => {
  await using host = await fresh();
  await host.sh("rm -f /usr/sbin/runc /usr/bin/runc /usr/local/bin/runc /usr/local/sbin/runc");
  for (const flags of [[], ["--check"]]) {
    const said = await install(host, older, ...flags);
    assert.equal(said.status, 3, said.text);
    assert.match(said.text, /missing +program:runc: .*\n +apt-get install runc/);
    assert.equal(await host.sh("ls -d /usr/lib/swarm /usr/lib/swarm.installing 2>/dev/null"), "");
  }
  const forced = await install(host, older, "--force");
  assert.equal(forced.status, 0, forced.text);
  assert.equal(await faults(host), "");
});

test("install, what cannot be is refused before anything is changed", async () => {
  await using host = await fresh();
  await host.sh(`cp -r ${folderOf(older)} /copy`);
  const other = ownArch === "x64" ? "arm64" : "x64";
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      "setpriv --reuid 65534 --clear-groups /copy/install.sh",
      /only root can do this: run it with sudo/,
    ],
    [
      `echo ${other} >/copy/arch; /copy/install.sh`,
      new RegExp(`for ${other}, and this host is ${ownArch}`),
    ],
    [
      `echo ${ownArch} >/copy/arch; echo x >>/copy/root/usr/lib/swarm/manager.js; /copy/install.sh`,
      /are not what was packaged: unpack/,
    ],
    ["rm /copy/manifest; /copy/install.sh", /has no manifest: unpack/],
    [`${folderOf(older)}/install.sh --purge`, /usage:/],
    [`${folderOf(older)}/install.sh --check --remove`, /usage:/],
    [`flock /usr/lib ${folderOf(older)}/install.sh`, /another install\.sh runs/],
  ];
  for (const [line, words] of cases) {
    const { status, text } = await host.run("sh", "-c", line);
    assert.ok(status === 1 || status === 2, `${line}: ${status} ${text}`);
    assert.match(text, words);
  }
  assert.equal(await host.sh("ls -d /usr/lib/swarm /usr/bin/swarm* /etc/swarm 2>/dev/null"), "");
});

test("install, a full disk changes nothing, whether that is seen beforehand or not", async () => {
  await using small = await ThrowawayHost.open(packages.folder, { diskMegabytes: 100 });
  const seen = await install(small, older);
  assert.equal(seen.status, 3, seen.text);
  assert.match(seen.text, /missing +disk:\/usr: .*needed[^]*nothing was changed/);

  await using host = await fresh();
  await install(host, older);
  const full = await host.run(
    "sh",
    "-c",
    `mkdir /usr/lib/swarm.installing
     mount -t tmpfs -o size=50M tmpfs /usr/lib/swarm.installing
     ${folderOf(newer)}/install.sh`,
  );
  assert.equal(full.status, 1, full.text);
  assert.match(
    full.text,
    /No space left on device[^]*cannot copy the files, see above; nothing was changed/,
  );
  await host.sh("rmdir /usr/lib/swarm.installing");
  assert.equal(await faults(host), "");
  assert.equal(await host.sh("cat /usr/lib/swarm/version"), older);
});

test("remove, settings and data stay; a purge takes them, with what is mounted there", async () => {
  await using host = await fresh();
  await install(host, older);
  await host.sh("mkdir -p /var/lib/swarm/agent; touch /var/lib/swarm/node.json");
  // By the copy that is on the host.
  const removed = await host.run("/usr/lib/swarm/install.sh", "--remove");
  assert.equal(removed.status, 0, removed.text);
  const packaged = `sed 's,.* ,/,' ${folderOf(older)}/manifest`;
  assert.equal(
    await host.sh(`ls -d /usr/lib/swarm* $(${packaged}) 2>/dev/null`),
    "/etc/swarm/swarmd.yml",
  );
  assert.match(await host.sh("systemctl is-enabled swarmd.service 2>&1"), /not-found|No such file/);
  assert.equal(
    await host.sh("ls /var/lib/swarm /etc/swarm"),
    "/etc/swarm:\nswarmd.yml\n\n/var/lib/swarm:\nagent\nnode.json",
  );

  await install(host, older);
  const purged = await host.run(
    "sh",
    "-c",
    `id=abcdefghijklmnopqrstuvwxy
     mkdir -p /var/lib/swarm/agent/volumes/a && mount -t tmpfs tmpfs /var/lib/swarm/agent/volumes/a
     root=/var/lib/swarm/agent/tasks/$id/1/rootfs && mkdir -p $root && mkfifo /tmp/begun
     unshare --mount sh -c "mount -t tmpfs tmpfs $root; echo >/tmp/begun; exec sleep 1000" &
     read -r begun </tmp/begun
     ip netns add $id && ip link add swv-abc type veth peer name peer0
     ip link add sw-vx0 type vxlan id 4096 dstport 4789 && ip link add sw-wg-probe type veth peer name peer1 && nft add table inet swarm
     ip route add 192.0.2.0/24 dev lo protocol 115 && ip rule add from 192.0.2.1 protocol 115
     /usr/lib/swarm/install.sh --remove --purge || exit
     wait $! || echo "the supervisor ended with $?"
     ip -brief link; ip netns; ip rule | grep 192.0.2; ip route list proto 115; nft list tables
     ls -A /var/lib/swarm; ls -d /etc/swarm`,
  );
  assert.equal(purged.status, 2, purged.text);
  assert.match(
    purged.text,
    /its settings and its data are removed\nthe supervisor ended with 137\nlo .*\nls: cannot access '\/etc\/swarm'/,
  );
  const again = await install(host, older);
  assert.match(again.text, /swarm 0\.1\.0 is installed\n$/);
});

test("remove, a swarmd that runs by other means than systemd is not left without its programs", async () => {
  await using host = await fresh();
  await install(host, older);
  const said = await host.runBesideSwarmd("/usr/lib/swarm/install.sh", "--remove", "--purge");
  assert.equal(said.status, 1, said.text);
  assert.match(said.text, /swarmd runs, and not under systemd: stop it first/);
  assert.equal(await faults(host), "");
});
