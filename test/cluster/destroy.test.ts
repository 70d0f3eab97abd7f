/** `swarmctl cluster destroy` over real ssh: a cluster and the package that it ran from go from their hosts. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BareHosts } from "../bare/bare-hosts.ts";

const timeout = 400_000;

let bare: BareHosts;

before(
  async () => {
    bare = await BareHosts.open({ name: "destroy", hosts: 2 });
    const { status, stdout, stderr } = await bare.swarmctl([
      "cluster",
      "apply",
      "-f",
      await fileWith(1, 2),
    ]);
    assert.equal(status, 0, stdout + stderr);
    const image = ["registry:5000/busybox:1", "sleep", "100000"];
    const web = ["service", "create", "-d", "--name", "web", "--replicas", "4", ...image];
    const created = await bare.swarmctl(web);
    assert.equal(created.status, 0, created.stderr);
  },
  { timeout },
);

after(async () => {
  await bare?.[Symbol.asyncDispose]();
});

/** The first host is the manager. */
async function fileWith(...hosts: readonly number[]): Promise<string> {
  const { folder } = bare;
  const lines = hosts.map((number) => {
    const roles = number === 1 ? "manager, worker" : "worker";
    return `  - {address: 172.31.0.${number}, name: b${number}, roles: [${roles}]}`;
  });
  const ssh = `ssh: {user: root, key: ${folder}/id, config: ${folder}/known_config}`;
  const path = join(folder, "cluster.yml");
  const text = `cluster: prod\n${ssh}\npackage: ${bare.packages}\nhosts:\n${lines.join("\n")}\n`;
  await writeFile(path, text);
  return path;
}

async function destroy(path: string, flags: readonly string[] = [], input = "") {
  return await bare.swarmctl(["cluster", "destroy", "-f", path, ...flags], { input });
}

/** What of us is on the hosts: programs, data, settings, links, rules, processes. */
async function traces(): Promise<string[]> {
  const look = [
    "ls -d /usr/lib/swarm /usr/bin/swarm* /etc/swarm /run/swarm 2>/dev/null",
    "ls -A /var/lib/swarm 2>/dev/null",
    "ip -br link | grep -E '^(swv-|sw-)'",
    "nft list tables | grep swarm",
    "pgrep -l conmon",
  ];
  const found = await Promise.all(
    bare.hosts.map(({ box }) => box.exec("sh", ["-c", look.join("; ")])),
  );
  return found.flatMap(({ stdout }) => stdout.split("\n").filter((line) => line !== ""));
}

test("destroy, a look shows what would go, and who gives another name destroys nothing", {
  timeout,
}, async () => {
  const path = await fileWith(1, 2);
  const look = await destroy(path, ["--dry-run"]);
  assert.equal(look.status, 0, look.stderr);
  assert.match(look.stdout, /^b2 +worker +1\.0\.0 +goes$/m);
  assert.match(look.stdout, /^b1 +manager +1\.0\.0 +goes$/m);
  for (const { status, stderr } of [
    await destroy(path, [], "production\n"),
    await destroy(path, ["--yes", "other"]),
    await destroy(path),
  ]) {
    assert.equal(status, 1);
    assert.match(stderr, /Nothing was destroyed: ".*" is not the cluster's name, which is "prod"/);
  }
  const { stdout } = await bare.swarmctl(["node", "ls", "-q"]);
  assert.equal(stdout.trim().split("\n").length, 2);
});

test("destroy, hosts that the file leaves out are named before", { timeout }, async () => {
  const look = await destroy(await fileWith(1), ["--dry-run"]);
  assert.match(look.stdout, /^Not in the file, and left without managers: h2; end them there/m);
});

test("destroy, nothing is left on hosts that are reached; the others are named, and the next run finds nothing to do", {
  timeout,
}, async () => {
  assert.notDeepEqual(await traces(), []);
  const partly = await destroy(await fileWith(1, 2, 99), [], "prod\n");
  assert.equal(partly.status, 1);
  assert.match(partly.stdout, /^ {2}b99: not reached: /m);
  assert.doesNotMatch(partly.stdout, /^ {2}b[12]: /m);
  assert.deepEqual(await traces(), []);
  const again = await destroy(await fileWith(1, 2), ["--yes", "prod"]);
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stdout, /^Nothing of cluster "prod" is left on its hosts\.$/m);
});
