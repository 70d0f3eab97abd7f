import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Outcome, runCli } from "../testing/run-cli.ts";

let folder: string;

/** Nothing listens there. */
const file = `cluster: prod
ssh: {port: 1}
hosts:
  - {address: 127.0.0.1, name: h1, roles: [manager]}
`;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "swarm-upgrade-"));
  writeFileSync(join(folder, "cluster.yml"), file);
  const top = join(folder, "swarm-0.2.0-linux-x64");
  mkdirSync(top);
  for (const [name, text] of [
    ["version", "0.2.0\n"],
    ["arch", "x64\n"],
  ] as const) {
    writeFileSync(join(top, name), text);
  }
  const target = join(folder, "swarm-0.2.0-linux-x64.tar.gz");
  assert.equal(spawnSync("tar", ["-czf", target, "-C", folder, "swarm-0.2.0-linux-x64"]).status, 0);
  writeFileSync(join(folder, "swarm-0.3.0-linux-x64.tar.gz"), "no archive at all");
});

after(() => rmSync(folder, { recursive: true, force: true }));

async function upgrade(...flags: readonly string[]): Promise<Outcome> {
  const argv = ["cluster", "upgrade", "-f", join(folder, "cluster.yml"), ...flags];
  return await runCli({ runRoot: folder }, argv, { env: { PATH: process.env["PATH"] ?? "" } });
}

const refusals: readonly {
  readonly what: string;
  readonly flags: readonly string[];
  readonly says: RegExp;
}[] = [
  { what: "no package is named", flags: [], says: /No package is named: give --package/ },
  {
    what: "the package has another name than packages have",
    flags: ["--package", "other.tar.gz"],
    says: /Cannot take packages from .*other\.tar\.gz/,
  },
  {
    what: "the package is damaged",
    flags: ["--package", "swarm-0.3.0-linux-x64.tar.gz"],
    says: /Cannot use the package .*it is damaged: copy it again/,
  },
];

for (const { what, flags, says } of refusals) {
  test(`cluster upgrade says so where ${what}, before any host is asked`, async () => {
    const given = flags.map((one) => (one.endsWith(".gz") ? join(folder, one) : one));
    const { code, stderr, stdout } = await upgrade(...given);
    assert.equal(code, 1);
    assert.match(stderr, says);
    assert.equal(stdout, "");
  });
}

test("cluster upgrade shows in a table which host cannot be reached, and changes nothing", async () => {
  const path = join(folder, "swarm-0.2.0-linux-x64.tar.gz");
  const { code, stderr, stdout } = await upgrade("--package", path, "--yes");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^HOST +PROBLEM\nh1 +\S.*\nswarmctl: Cannot upgrade to 0\.2\.0, see above; nothing was changed\n$/s,
  );
  assert.equal(stdout, "");
});

test("cluster upgrade takes at least one host at a time", async () => {
  const { code, stderr } = await upgrade("--parallel", "0");
  assert.equal(code, 2);
  assert.match(stderr, /--parallel/);
});
