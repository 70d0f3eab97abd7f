import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { runCli, type RunOptions } from "../testing/run-cli.ts";
import { exportedContext, savedContext, serveTlsManager } from "../testing/tls-manager.ts";
import { checkContext, formatContext, parseAddress, parseContext } from "./saved-context.ts";

const nowhere = { runRoot: "/nowhere" };

let authority: TestAuthority;
before(async () => {
  authority = await TestAuthority.create();
});

/** A user's home folder. */
class Home implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static async open(): Promise<Home> {
    return new Home(await mkdtemp(join(tmpdir(), "swarmctl-home-")));
  }

  run(words: string, options: RunOptions = {}) {
    const env = { HOME: this.path, ...options.env };
    return runCli(nowhere, words.split(" "), { ...options, env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

describe("context", () => {
  it("made on a manager it holds the user's certificate, for the user alone", async () => {
    await using home = await Home.open();
    const issueUserCertificate = async ({ name }: { readonly name: string }) => {
      const { certificate, caCertificates } = await authority.identity({ role: "user", name });
      const { clusterId } = authority;
      return { certificate, caCertificates, clusterId, managers: ["10.0.0.1:2377"] };
    };
    await using cluster = await FakeCluster.open({ control: { issueUserCertificate } });
    const env = { HOME: home.path };
    const made = await runCli(cluster, ["context", "create", "prod"], { env });
    assert.deepEqual(made, {
      code: 0,
      stdout: "prod\n",
      stderr: 'Successfully created context "prod"\n',
    });
    const path = join(home.path, ".config/swarm/contexts/prod.json");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(join(home.path, ".config/swarm"))).mode & 0o777, 0o700);
    const { key } = JSON.parse(await readFile(path, "utf8"));
    assert.match(key, /PRIVATE KEY/);
    const shown = await home.run("context inspect prod");
    assert.doesNotMatch(shown.stdout, /PRIVATE KEY/);
    assert.equal(JSON.parse(shown.stdout)[0].managers[0], "10.0.0.1:2377");
    const again = await runCli(cluster, ["context", "create", "prod"], { env });
    assert.match(again.stderr, /The context "prod" exists already: remove it first/);
  });

  it("exported and imported elsewhere it reaches the cluster over TLS", async () => {
    await using manager = await serveTlsManager(authority, new FakeControl().handlers);
    const stdin = await exportedContext(authority, [manager.address]);
    await using home = await Home.open();
    assert.equal((await home.run("context import prod -", { stdin })).stdout, "prod\n");
    const file = join(home.path, "out");
    assert.equal((await home.run(`context export prod ${file}`)).code, 0);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.match((await home.run(`context export prod ${file}`)).stderr, /it exists already/);
    assert.equal((await home.run("context export prod -")).stdout, stdin);
    const refused = await home.run("context export prod -", { isTTY: true });
    assert.match(refused.stderr, /not for a terminal/);

    await using laptop = await Home.open();
    await laptop.run(`context import home ${file}`);
    const named = await laptop.run("--context home node ls -q");
    assert.match(named.stdout, /^h1/);
    assert.equal((await laptop.run("context show")).stdout, "default\n");
    assert.match((await laptop.run("node ls")).stderr, /Cannot reach swarmd/);
    await laptop.run("context use home");
    assert.equal((await laptop.run("node ls -q")).stdout, named.stdout);
    const env = { SWARM_CONTEXT: "default" };
    assert.match((await laptop.run("node ls", { env })).stderr, /Cannot reach swarmd/);
  });

  it("tries the next manager where one does not answer", async () => {
    await using manager = await serveTlsManager(authority, new FakeControl().handlers);
    const gone = createServer();
    await once(gone.listen(0, "127.0.0.1"), "listening");
    const { port } = gone.address() as { port: number };
    await new Promise((done) => gone.close(done));
    await using home = await Home.open();
    const dead = `127.0.0.1:${port}`;
    const stdin = await exportedContext(authority, [dead, manager.address]);
    await home.run("context import prod -", { stdin });
    assert.equal((await home.run("--context prod node ls -q")).code, 0);
    const { code, stderr } = await home.run(`--context prod --host ${dead} node ls`);
    const message = `Cannot reach a manager at ${dead} (the connection was refused)`;
    assert.deepEqual([code, stderr], [1, `swarmctl: ${message}\n`]);
    const other = await home.run("--context prod node ls -q", {
      env: { SWARM_HOST: manager.address },
    });
    assert.equal(other.code, 0);
  });

  it("is let in by its own cluster alone, and only while its certificate holds", async () => {
    await using manager = await serveTlsManager(authority, new FakeControl().handlers);
    const stranger = await TestAuthority.create();
    await using home = await Home.open();
    const foreign = await exportedContext(stranger, [manager.address]);
    await home.run("context import foreign -", { stdin: foreign });
    const { stderr } = await home.run("--context foreign node ls");
    assert.match(stderr, /Cannot trust the manager: .*unknown authority/);
    const late = await exportedContext(authority, [manager.address], { toMs: -1_000 });
    const refused = await home.run("context import late -", { stdin: late });
    assert.match(refused.stderr, /^swarmctl: Cannot import "-": its certificate expired at /);
  });

  it("is updated: with other managers, or by its cluster with a new certificate", async () => {
    let managers: string[] = [];
    const issueUserCertificate = async ({ name }: { readonly name: string }) => {
      const { certificate, caCertificates } = await authority.identity({ role: "user", name });
      return { certificate, caCertificates, clusterId: authority.clusterId, managers };
    };
    const control = { ...new FakeControl().handlers, issueUserCertificate };
    await using manager = await serveTlsManager(authority, control);
    managers = [manager.address, "10.0.0.9:2377"];
    await using home = await Home.open();
    const stdin = await exportedContext(authority, ["10.0.0.1:2377"]);
    await home.run("context import prod -", { stdin });
    const inspect = async () =>
      JSON.parse((await home.run("context inspect prod")).stdout)[0] as Record<string, unknown>;
    const before = await inspect();
    const moved = await home.run(`context update prod --manager ${manager.address}`);
    assert.deepEqual([moved.code, moved.stdout], [0, "prod\n"]);
    assert.deepEqual((await inspect())["managers"], [manager.address]);
    assert.equal((await home.run("context update prod")).code, 0);
    const after = await inspect();
    assert.deepEqual(after["managers"], managers);
    assert.notEqual(after["certificate"], before["certificate"]);
    assert.match((await home.run("context update nowhere")).stderr, /No context "nowhere"/);
  });

  it("is needed for a host of one's choice", async () => {
    await using home = await Home.open();
    const { stderr } = await home.run("--host 10.0.0.1 node ls");
    assert.match(stderr, /To reach the manager at "10\.0\.0\.1" a context .* is needed/);
    const init = await home.run("--host 10.0.0.1 cluster init");
    assert.match(init.stderr, /about the host that swarmctl runs on: leave out --host/);
  });

  it("is listed with what is wrong with it, and removed unless it is in use", async () => {
    await using home = await Home.open();
    const stdin = await exportedContext(authority, ["10.0.0.1:2377", "10.0.0.2:2377"]);
    await home.run("context import prod -", { stdin });
    await home.run("context use prod");
    const { stdout } = await home.run("context ls");
    const [, first, second] = stdout.split("\n");
    assert.match(first ?? "", /^default +\(this host\)$/);
    const row = new RegExp(
      `^prod \\* +10.0.0.1:2377, 10.0.0.2:2377 +${authority.clusterId} +ann +2`,
    );
    assert.match(second ?? "", row);
    assert.match((await home.run("context rm prod")).stderr, /is in use: use another one first/);
    assert.equal((await home.run("context rm --force prod")).stdout, "prod\n");
    assert.equal((await home.run("context show")).stdout, "default\n");
    assert.match((await home.run("context use prod")).stderr, /No context "prod"/);
  });

  const names = ["default", "../x", "", "a b", "-x"];
  for (const name of names) {
    it(`cannot be called "${name}"`, async () => {
      await using home = await Home.open();
      const env = { HOME: home.path };
      const argv = ["context", "import", "--", name, "/nowhere"];
      assert.match(
        (await runCli(nowhere, argv, { env })).stderr,
        /choose another|cannot be a cont/,
      );
    });
  }

  it("has no place without a home", async () => {
    const { stderr } = await runCli(nowhere, ["context", "ls"]);
    assert.match(stderr, /set HOME or XDG_CONFIG_HOME/);
  });
});

describe("an exported context", () => {
  it("is read as it was written, and refused as anything else", async () => {
    const saved = await savedContext(authority, ["10.0.0.1:2377"]);
    assert.deepEqual(parseContext(formatContext(saved)), saved);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        assert.throws(() => parseContext(text), Fault);
      }),
    );
    const fields = fc.record({
      version: fc.constantFrom(1, 2, "1"),
      clusterId: fc.oneof(fc.string(), fc.constant(saved.clusterId)),
      managers: fc.oneof(fc.array(fc.string()), fc.constant(["[::1]:2377"])),
      caCertificates: fc.oneof(fc.string(), fc.constant(saved.caCertificates)),
      certificate: fc.oneof(fc.string(), fc.constant(`${saved.certificate}x`)),
      key: fc.oneof(fc.string(), fc.constant("-----BEGIN PRIVATE KEY-----\nAA\n-----END")),
    });
    fc.assert(
      fc.property(fields, (value) => {
        assert.throws(() => checkContext(parseContext(JSON.stringify(value)), Date.now()), Fault);
      }),
    );
  });

  it("holds together, or is refused by what does not", async () => {
    const saved = await savedContext(authority, ["10.0.0.1:2377"]);
    const other = await savedContext(await TestAuthority.create(), ["10.0.0.1:2377"]);
    const node = await savedContext(authority, ["a:1"], { role: "worker", name: "n".repeat(25) });
    checkContext(saved, Date.now());
    const faults: [typeof saved, RegExp][] = [
      [{ ...saved, key: other.key }, /its key is not that of its certificate/],
      [{ ...saved, clusterId: other.clusterId }, /of another cluster than it says/],
      [{ ...saved, key: "x" }, /"key" cannot be read/],
      [{ ...saved, caCertificates: "x" }, /"caCertificates" holds no certificate/],
      [node, /is not a user's/],
    ];
    for (const [context, message] of faults) {
      assert.throws(() => checkContext(context, Date.now()), { message });
    }
  });

  it("shows nothing of a key in what it says of broken JSON", () => {
    assert.throws(
      () => parseContext('{"key": "SECRET'),
      (fault: Fault) => {
        assert.doesNotMatch(fault.message, /SECRET/);
        return true;
      },
    );
  });

  it("takes addresses with and without a port", () => {
    assert.equal(parseAddress("h1"), "h1:2377");
    assert.equal(parseAddress("10.0.0.1:99"), "10.0.0.1:99");
    assert.equal(parseAddress("[fe80::1]"), "[fe80::1]:2377");
    for (const bad of ["", "a b", "h:0", "h:70000", "fe80::1", "a/b"]) {
      assert.throws(() => parseAddress(bad), { code: "invalid-argument" });
    }
  });
});
