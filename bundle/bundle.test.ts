import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { version } from "#proto/version.ts";
import { FakeCluster } from "#swarmctl/testing/fake-cluster.ts";

const run = promisify(execFile);
const bundle = fileURLToPath(new URL("main.ts", import.meta.url));
const timeout = 60_000;

test("bundles, the programs run from them alone, each from its file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bundle-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const dist = join(folder, "dist");
  await run(process.execPath, [bundle, dist], { timeout });
  const cluster = cleanup.use(
    await FakeCluster.open({
      control: { listServices: async () => ({ services: [], statuses: [] }) },
    }),
  );
  // What they find beside them is all that they have: no sources and no packages are above the folder.
  const env = { PATH: process.env["PATH"], HOME: folder, SWARM_RUN_ROOT: cluster.runRoot };
  const program = async (...words: string[]) => {
    const [name = "", ...args] = words;
    const { stdout } = await run(process.execPath, [join(dist, name), ...args], {
      env,
      cwd: folder,
      timeout,
    });
    return stdout;
  };
  assert.equal(await program("swarmd.js", "--version"), `swarmd ${version}\n`);
  assert.match(await program("manager.js", "--help"), /usage|Usage/);
  assert.match(await program("swarmctl.js", "service", "ls"), /^ID +NAME +MODE/);
  // What V8 compiled is kept for each command, and is no more than that: without it, or with what it is not, all goes well.
  const cache = join(folder, ".cache", "swarmctl", "code");
  const [head = ""] = (await readFile(cache, "latin1")).split("\n");
  assert.deepEqual(JSON.parse(head).commands, ["service ls"]);
  const { length } = await readFile(cache);
  const damaged = Buffer.concat([Buffer.from(`${head}\n`), Buffer.alloc(length, 7)]);
  for (const bytes of [
    Buffer.alloc(length, 7),
    Buffer.from(`${head}\n`),
    Buffer.from(head),
    damaged,
  ]) {
    await writeFile(cache, bytes);
    assert.match(await program("swarmctl.js", "service", "ls"), /^ID +NAME +MODE/);
    assert.ok((await readFile(cache)).length > length / 2);
  }
  // What others can write is not read, and made anew; what stands after an option, a password perhaps, is not kept.
  await chmod(cache, 0o666);
  assert.match(await program("swarmctl.js", "service", "ls"), /^ID +NAME +MODE/);
  assert.equal((await stat(cache)).mode & 0o777, 0o600);
  await assert.rejects(program("swarmctl.js", "login", "-p", "hunter2", "--password-stdin"));
  assert.match(await readFile(cache, "latin1"), /^[^\n]*"service ls","login"/);
  // Every command loads.
  assert.match(await program("swarmctl.js", "stack", "deploy", "--help"), /--compose-file/);
  assert.match(await program("swarmctl.js", "context", "create", "--help"), /Get a certificate/);
  // What a certificate request takes is in a file of its own; the request comes as far as the manager.
  await assert.rejects(program("swarmctl.js", "context", "create", "me"), {
    stderr: /does not handle issueUserCertificate/,
  });
});
