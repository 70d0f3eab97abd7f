/** `swarmctl system support-bundle` of a cluster that has secrets of every kind, and a host that does not answer. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Lab } from "#lab/lab.ts";
import { run } from "#lab/process.ts";

const image = "registry:5000/busybox:1";
const timeout = 120_000;
const password = "Tr0ubador-and-3-horses";

let lab: Lab;
/** Below the data of h1, which the test and the host both see. */
let folder: string;

before(async () => {
  lab = await Lab.up({
    name: "support",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  folder = await mkdtemp(join(lab.host("h1").dataRoot, "bundle-"));
  for (const noun of ["secret", "config"]) {
    const script = `printf ${password} | swarmctl ${noun} create kept -`;
    await lab.host("h1").run("sh", ["-c", script]);
  }
  await swarmctl("network", "create", "--driver", "overlay", "--opt", "encrypted", "sealed");
  const files = ["--secret", "kept", "--config", "kept"];
  const env = ["--env", `DB_PASSWORD=${password}`, "--env", `URL=http://me:${password}@db/`];
  const hidden = [...files, ...env, "--label", `api.token=${password}`];
  const everywhere = ["--name", "web", "--mode", "global", "--network", "sealed"];
  const command = ["sh", "-c", "exec sleep 1000", `--password=${password}`];
  await swarmctl("service", "create", ...everywhere, ...hidden, image, ...command);
});

after(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

/** Makes a bundle and unpacks it. */
async function bundle(name: string, ...args: readonly string[]) {
  const inside = join("/var/lib/swarm", folder.split("/").at(-1) ?? "", `${name}.tar.gz`);
  const { status, stdout, stderr } = await lab
    .host("h1")
    .exec("swarmctl", ["system", "support-bundle", "--out", inside, ...args]);
  assert.equal(status, 0, stderr);
  const target = await mkdtemp(join(folder, "unpacked-"));
  await run(["tar", "-xzf", join(folder, `${name}.tar.gz`), "-C", target]);
  const [top = ""] = await readdir(target);
  const root = join(target, top);
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = new Map<string, string>();
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(root.length + 1), await readFile(path, "utf8"));
  }
  const manifest = JSON.parse(files.get("manifest.json") ?? "") as {
    readonly problems: readonly string[];
    readonly files: readonly {
      readonly file: string;
      readonly bytes: number;
      readonly note?: string;
    }[];
  };
  return { said: stdout + stderr, files, manifest };
}

test("support bundle, a folder for each node, the cluster's state, a manifest", {
  timeout,
}, async () => {
  const { files, manifest, said } = await bundle("whole");
  assert.match(said, /files of 2 nodes\./);
  assert.deepEqual(manifest.problems, []);
  for (const node of ["h1", "h2"]) {
    assert.match(files.get(`nodes/${node}/check-host.txt`) ?? "", /^fact\thostname\th\d$/m);
    assert.match(files.get(`nodes/${node}/swarmd.log`) ?? "", /swarmd serves/);
    assert.match(files.get(`nodes/${node}/nftables.txt`) ?? "", /table inet swarm/);
    assert.match(files.get(`nodes/${node}/wireguard.txt`) ?? "", /private key: \(hidden\)/);
    assert.match(files.get(`nodes/${node}/swarmd.json`) ?? "", /"active"/);
    assert.match(files.get(`nodes/${node}/sizes.txt`) ?? "", /\/var\/lib\/swarm$/m);
  }
  assert.match(files.get("cluster/services.json") ?? "", /"DB_PASSWORD=\[redacted\]"/);
  assert.match(files.get("cluster/nodes.json") ?? "", /"hostname": "h2"/);
  const listed = new Set(manifest.files.filter(({ bytes }) => bytes > 0).map(({ file }) => file));
  assert.deepEqual(
    [...files.keys()].filter((file) => !listed.has(file)),
    ["manifest.json"],
  );
  // What a host has not is said, not passed over.
  assert.match(manifest.files.find(({ file }) => file === "nodes/h1/unit.txt")?.note ?? "", /./);
});

test("support bundle, no secret is in it", { timeout }, async () => {
  const { files } = await bundle("secrets");
  const tokens = await Promise.all(
    ["worker", "manager"].map(async (role) => await swarmctl("cluster", "join-token", "-q", role)),
  );
  const key = await readFile(join(lab.host("h1").dataRoot, "certificates/node.key"), "utf8");
  const keyLine = key.split("\n")[1] ?? "";
  assert.ok(keyLine.length > 20);
  const secrets = [
    password,
    Buffer.from(password).toString("base64"),
    keyLine,
    ...tokens.map((token) => token.trim()),
  ];
  for (const [file, text] of files) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${file} has ${secret}`);
    assert.doesNotMatch(text, /BEGIN [A-Z ]*PRIVATE KEY|SWMKEY-1-\w|SWMTKN-1-\w/, file);
  }
});

test("support bundle, one node alone; one that is not there is an error", { timeout }, async () => {
  const { files } = await bundle("one", "--node", "h2");
  assert.ok(files.has("nodes/h2/check-host.txt"));
  assert.ok(![...files.keys()].some((file) => file.startsWith("nodes/h1")));
  const { status, stderr } = await lab
    .host("h1")
    .exec("swarmctl", ["system", "support-bundle", "--out", "/tmp/none.tar.gz", "--node", "h9"]);
  assert.equal(status, 1);
  assert.match(stderr, /node "h9" not found/);
});

test("support bundle, a node that does not answer is noted", { timeout }, async () => {
  await lab.host("h2").swarmd.stop();
  const { files, manifest, said } = await bundle("partial");
  assert.match(said, /files of 1 nodes; 1 could not be asked, see manifest\.json/);
  assert.match(manifest.problems.join("\n"), /^Node "h2" did not answer: /);
  assert.ok(files.has("nodes/h1/swarmd.log"));
});

test("support bundle, where no manager answers this host is looked at", { timeout }, async () => {
  await lab.host("h1").swarmd.stop();
  const { files, manifest } = await bundle("alone");
  assert.match(
    manifest.problems.join("\n"),
    /The cluster could not be asked: .*is swarmd running\?/,
  );
  assert.match(files.get("here/check-host.txt") ?? "", /^fact\thostname\th1$/m);
});
