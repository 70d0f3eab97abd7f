import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { UpdateClusterRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import type {
  InitClusterRequest,
  JoinClusterRequest,
  RestoreClusterRequest,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { type Cluster, ClusterSchema, RootCaSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NetworkConfigSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  NodeRole,
  SchedulingStrategy,
  NodeState,
  NodeStatusSchema,
  NodeTlsInfoSchema,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";
import { msFromDuration, timestampFromMs } from "#proto/time.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aNode, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const unlockKey = `SWMKEY-1-${"k".repeat(43)}`;

/** A cluster object whose updates are kept, and whose tokens change when they are rotated. */
class ClusterControl {
  cluster: Cluster = create(ClusterSchema, {
    id: "c1",
    meta: { version: { index: 5n } },
    spec: { annotations: { name: "default" }, orchestration: { taskHistoryRetentionLimit: 7n } },
  });
  readonly updates: UpdateClusterRequest[] = [];
  unlockKey = unlockKey;
  /** How many of the next updates fail because somebody else was faster. */
  conflicts = 0;

  readonly handlers: FakeHost["control"] = {
    ...new FakeControl().handlers,
    getCluster: async () => ({ cluster: this.cluster }),
    updateCluster: async (request) => {
      if (this.conflicts > 0) {
        this.conflicts -= 1;
        throw new Fault("conflict", "update out of sequence");
      }
      this.updates.push(request);
      const { spec } = request;
      if (spec !== undefined) this.cluster = { ...this.cluster, spec };
      return { cluster: this.cluster };
    },
    getJoinTokens: async () => {
      const rotated = this.updates.some((update) => update.rotateManagerToken);
      return { tokens: { worker: "SWMTKN-1-w", manager: rotated ? "SWMTKN-1-n" : "SWMTKN-1-m" } };
    },
    getUnlockKey: async () => ({ unlockKey: this.unlockKey }),
  };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "swarmctl-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("cluster init", () => {
  it("says how workers join", async () => {
    const requests: InitClusterRequest[] = [];
    const initCluster = async (request: InitClusterRequest) => {
      requests.push(request);
      return { nodeId: "n1", workerJoinToken: "SWMTKN-1-w", managerAddress: "172.31.0.1:2377" };
    };
    await using cluster = await FakeCluster.open({ node: { initCluster } });
    const flags = ["--advertise-addr", "172.31.0.1", "--task-history-limit", "-1"];
    const { stdout } = await runCli(cluster, ["cluster", "init", ...flags]);
    assert.match(stdout, /^Swarm initialized: current node \(n1\) is now a manager\.$/m);
    assert.match(stdout, /^ {4}swarmctl cluster join --token SWMTKN-1-w 172\.31\.0\.1:2377$/m);
    assert.doesNotMatch(stdout, /SWMKEY/);
    assert.equal(requests[0]?.advertiseAddress, "172.31.0.1");
    assert.equal(requests[0]?.spec?.orchestration?.taskHistoryRetentionLimit, -1n);
    assert.equal(requests[0]?.forceNewCluster, false);
  });

  it("takes where addresses come from and the data path's address and port", async () => {
    const requests: InitClusterRequest[] = [];
    const initCluster = async (request: InitClusterRequest) => {
      requests.push(request);
      return { nodeId: "n1" };
    };
    await using cluster = await FakeCluster.open({ node: { initCluster } });
    const words =
      "cluster init --data-path-addr eth1 --data-path-port 7789 --default-addr-pool 10.20.0.0/16 --default-addr-pool fd00:1::/56 --default-addr-pool-mask-length 26";
    assert.equal((await runCli(cluster, words.split(" "))).code, 0);
    const [{ spec, dataPathAddress } = {}] = requests;
    assert.equal(dataPathAddress, "eth1");
    assert.deepEqual(spec?.network?.defaultAddressPools, ["10.20.0.0/16", "fd00:1::/56"]);
    assert.deepEqual([spec?.network?.subnetSize, spec?.network?.dataPathPort], [26, 7789]);
    const wrong = await runCli(cluster, ["cluster", "init", "--data-path-port", "udp"]);
    assert.equal(wrong.code, 2);
  });

  it("says that nobody can join where the address leads to this host alone", async () => {
    const initCluster = async () => ({ nodeId: "n1", managerAddress: "127.0.0.1:2377" });
    await using cluster = await FakeCluster.open({ node: { initCluster } });
    const { stderr } = await runCli(cluster, ["cluster", "init"]);
    assert.match(stderr, /^No other host reaches this one at 127\.0\.0\.1:2377, so none can join/);
  });

  it("with autolock tells the unlock key", async () => {
    const requests: InitClusterRequest[] = [];
    const initCluster = async (request: InitClusterRequest) => {
      requests.push(request);
      return { nodeId: "n1", unlockKey };
    };
    await using cluster = await FakeCluster.open({ node: { initCluster } });
    const words = "cluster init --autolock --cert-expiry 48h --availability drain";
    const { stdout } = await runCli(cluster, [...words.split(" "), "--force-new-cluster"]);
    assert.match(stdout, new RegExp(`^ {4}${unlockKey}$`, "m"));
    const [request] = requests;
    assert.equal(request?.spec?.encryption?.autoLockManagers, true);
    assert.equal(msFromDuration(request?.spec?.ca?.nodeCertExpiry, 0), 48 * 3_600_000);
    assert.equal(request?.availability, NodeAvailability.DRAIN);
    assert.equal(request?.forceNewCluster, true);
  });
});

describe("cluster join, leave and unlock", () => {
  it("join names the token, the managers and the availability", async () => {
    const requests: JoinClusterRequest[] = [];
    const joinCluster = async (request: JoinClusterRequest) => {
      requests.push(request);
      return { nodeId: "n2", role: NodeRole.WORKER };
    };
    await using cluster = await FakeCluster.open({ node: { joinCluster } });
    const { stdout } = await runCli(
      cluster,
      "cluster join --token SWMTKN-1-w --availability drain 10.0.0.1 10.0.0.2:2377".split(" "),
    );
    assert.equal(stdout, "This node (n2) joined a swarm as a worker.\n");
    assert.deepEqual(requests[0]?.managers, ["10.0.0.1", "10.0.0.2:2377"]);
    assert.equal(requests[0]?.availability, NodeAvailability.DRAIN);
  });

  it("leave is by force only where it is said so", async () => {
    const forces: boolean[] = [];
    const leaveCluster = async ({ force }: { readonly force: boolean }) => {
      forces.push(force);
      return {};
    };
    await using cluster = await FakeCluster.open({ node: { leaveCluster } });
    const { stdout } = await runCli(cluster, ["cluster", "leave"]);
    assert.equal(stdout, "Node left the swarm.\n");
    await runCli(cluster, ["cluster", "leave", "-f"]);
    assert.deepEqual(forces, [false, true]);
  });

  it("unlock takes the key from stdin", async () => {
    const keys: string[] = [];
    const unlockCluster = async (request: { readonly unlockKey: string }) => {
      keys.push(request.unlockKey);
      return {};
    };
    await using cluster = await FakeCluster.open({ node: { unlockCluster } });
    const outcome = await runCli(cluster, ["cluster", "unlock"], { stdin: `${unlockKey}\n` });
    assert.deepEqual(outcome, { code: 0, stdout: "", stderr: "" });
    assert.deepEqual(keys, [unlockKey]);
    const nothing = await runCli(cluster, ["cluster", "unlock"]);
    assert.equal(nothing.stderr, "swarmctl: No unlock key was given\n");
  });

  it("a locked manager is said to be so", async () => {
    const getInfo = async () => ({ nodeId: "n1", role: NodeRole.MANAGER, locked: true });
    await using cluster = await FakeCluster.open({ node: { getInfo } });
    const { stderr } = await runCli(cluster, ["node", "ls"]);
    assert.match(stderr, /manager is locked: run "swarmctl cluster unlock" first/);
    const { stdout } = await runCli(cluster, ["cluster", "info"]);
    assert.match(stdout, /^Swarm: locked: run "swarmctl cluster unlock"$/m);
  });
});

describe("cluster join-token and unlock-key", () => {
  it("show the token, with the leader's address, and rotate it", async () => {
    const control = new ClusterControl();
    control.conflicts = 1;
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    const words = await runCli(cluster, ["cluster", "join-token", "worker"]);
    assert.match(words.stdout, /join --token SWMTKN-1-w 172\.31\.0\.1:2377/);
    const token = await runCli(cluster, ["cluster", "join-token", "-q", "manager"]);
    assert.equal(token.stdout, "SWMTKN-1-m\n");
    const rotated = await runCli(cluster, ["cluster", "join-token", "--rotate", "manager"]);
    assert.match(rotated.stdout, /^Successfully rotated manager join token\.\n\nTo add a manager/);
    assert.match(rotated.stdout, /SWMTKN-1-n/);
    const [update] = control.updates;
    assert.deepEqual([update?.rotateWorkerToken, update?.version?.index], [false, 5n]);
    assert.equal(update?.spec?.orchestration?.taskHistoryRetentionLimit, 7n);
  });

  it("show the unlock key, rotate it, or say that there is none", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    const key = await runCli(cluster, ["cluster", "unlock-key", "-q"]);
    assert.equal(key.stdout, `${unlockKey}\n`);
    const rotated = await runCli(cluster, ["cluster", "unlock-key", "--rotate"]);
    assert.match(rotated.stdout, /^Successfully rotated manager unlock key\.\n\nTo unlock/);
    assert.equal(control.updates[0]?.rotateUnlockKey, true);
    control.unlockKey = "";
    const none = await runCli(cluster, ["cluster", "unlock-key"]);
    assert.deepEqual([none.code, none.stdout], [1, ""]);
    assert.match(none.stderr, /No unlock key is set/);
  });
});

describe("cluster update", () => {
  it("changes what the flags name and leaves the rest", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    const on = await runCli(cluster, "cluster update --autolock --cert-expiry 2h".split(" "));
    assert.match(on.stdout, /^Swarm updated\.\nTo unlock a manager/);
    const spec = control.cluster.spec;
    assert.equal(spec?.encryption?.autoLockManagers, true);
    assert.equal(msFromDuration(spec?.ca?.nodeCertExpiry, 0), 7_200_000);
    assert.equal(spec?.orchestration?.taskHistoryRetentionLimit, 7n);
    const off = await runCli(cluster, "cluster update --autolock=false".split(" "));
    assert.equal(off.stdout, "Swarm updated.\n");
    assert.equal(control.cluster.spec?.encryption?.autoLockManagers, false);
  });

  it("says how tasks are placed, each setting apart, also as Docker's swarm update", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    await runCli(cluster, "swarm update --scheduling-strategy binpack --preemption".split(" "));
    await runCli(cluster, "swarm update --auto-rebalance".split(" "));
    const { strategy, preemption, autoRebalance } = control.cluster.spec?.scheduling ?? {};
    assert.equal(strategy, SchedulingStrategy.BINPACK);
    assert.deepEqual([preemption, autoRebalance], [true, true]);
    await runCli(cluster, "cluster update --preemption=false".split(" "));
    assert.equal(control.cluster.spec?.scheduling?.preemption, false);
    assert.equal(control.cluster.spec.scheduling.strategy, SchedulingStrategy.BINPACK);
    const wrong = await runCli(cluster, "swarm update --scheduling-strategy random".split(" "));
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /Choose one of: spread, binpack/);
  });

  it("keeps how often keys were renewed on command, which network rotate-keys counts", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    await runCli(cluster, ["network", "rotate-keys"]);
    await runCli(cluster, "cluster update --network-key-period 90m".split(" "));
    const rotated = await runCli(cluster, ["network", "rotate-keys"]);
    assert.match(rotated.stdout, /^Every node renews its key/);
    const encryption = control.cluster.spec?.encryption;
    assert.equal(encryption?.networkKeyRotations, 2n);
    assert.equal(msFromDuration(encryption.networkKeyPeriod, 0), 90 * 60_000);
  });

  it("schedules backups, each setting apart, and ends them", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    await runCli(cluster, ["cluster", "update", "--backup-schedule", "0 3 * * *"]);
    await runCli(cluster, "cluster update --backup-folder /mnt/b --backup-keep 3".split(" "));
    const { schedule, folder, keep } = control.cluster.spec?.backup ?? {};
    assert.deepEqual([schedule, folder, keep], ["0 3 * * *", "/mnt/b", 3]);
    const none = await runCli(cluster, "cluster update --backup-keep 0".split(" "));
    assert.match(none.stderr, /"0" is out of range: use 1 to 10000/);
    await runCli(cluster, "cluster update --backup-schedule off".split(" "));
    assert.equal(control.cluster.spec?.backup, undefined);
  });

  it("sets where logs go of services that do not say", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    const flags = "--log-driver json-file --log-opt max-size=1m --log-opt max-file=3".split(" ");
    await runCli(cluster, ["cluster", "update", ...flags]);
    const { name, options } = control.cluster.spec?.taskDefaults?.logDriver ?? {};
    assert.equal(name, "json-file");
    assert.deepEqual(options, { "max-size": "1m", "max-file": "3" });
    assert.equal(control.cluster.spec?.orchestration?.taskHistoryRetentionLimit, 7n);
  });

  it("needs something to change, in words that it knows", async () => {
    const nowhere = { runRoot: "/nowhere" };
    const nothing = await runCli(nowhere, ["cluster", "update"]);
    assert.equal(nothing.code, 2);
    assert.match(nothing.stderr, /nothing to change/);
    const word = await runCli(nowhere, ["cluster", "update", "--autolock=maybe"]);
    assert.match(word.stderr, /'maybe' is invalid\. Choose one of: true, false/);
  });
});

describe("cluster ca", () => {
  it("prints the root certificate", async () => {
    const control = new ClusterControl();
    const { root } = await TestAuthority.create();
    control.cluster = {
      ...control.cluster,
      ...create(ClusterSchema, { rootCa: { caCert: Buffer.from(root) } }),
    };
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    assert.equal((await runCli(cluster, ["cluster", "ca"])).stdout, root);
  });

  it("rotates, shows how far the nodes are, and prints the new root when all are done", async () => {
    const control = new ClusterControl();
    const { root } = await TestAuthority.create();
    const tls = create(NodeTlsInfoSchema, {
      trustedRoots: [certificateDigest(root)],
      issuerKeyHash: publicKeyHash(parseCertificate(root)),
    });
    const done = aNode("h1");
    if (done.description !== undefined) done.description.tls = tls;
    let looks = 0;
    const getCluster = async () => {
      looks += 1;
      const caCert = Buffer.from(root);
      // The first look is the update's own; at the second the managers have not begun yet.
      const rotating = { rootRotation: { caCert }, lastForcedRotation: 1n };
      const rootCa =
        looks <= 2 ? { caCert } : looks === 3 ? rotating : { caCert, lastForcedRotation: 1n };
      return { cluster: { ...control.cluster, rootCa: create(RootCaSchema, rootCa) } };
    };
    const away = aNode("h3");
    away.status = create(NodeStatusSchema, { state: NodeState.DOWN });
    const listNodes = async () => ({ nodes: [done, aNode("h2"), away] });
    await using cluster = await FakeCluster.open({
      control: { ...control.handlers, getCluster, listNodes },
    });
    assert.deepEqual(await runCli(cluster, ["cluster", "ca", "--rotate"]), {
      code: 0,
      stdout: `desired root digest: ${certificateDigest(root)}\n  rotated TLS certificates: 1/3 nodes\n  rotated CA certificates: 1/3 nodes\n  waiting for nodes that are not up: ${away.id} (h3): start them, or remove them\n${root}`,
      stderr: "Contexts that were made before trust the old root only: create them anew.\n",
    });
    assert.equal(control.updates[0]?.spec?.ca?.forceRotate, 1n);
  });

  it("takes a root of the user's with its key, both or none", async () => {
    const control = new ClusterControl();
    await using cluster = await FakeCluster.open({ control: control.handlers ?? {} });
    await withFolder(async (folder) => {
      const [cert, key] = [join(folder, "cert"), join(folder, "key")];
      await writeFile(cert, "CERT");
      await writeFile(key, "KEY");
      const words = ["cluster", "ca", "--rotate", "-d", "--ca-cert", cert];
      const half = await runCli(cluster, words);
      assert.match(half.stderr, /'--ca-cert' and '--ca-key' belong together/);
      assert.equal((await runCli(cluster, [...words, "--ca-key", key])).code, 0);
    });
    const ca = control.updates[0]?.spec?.ca;
    assert.equal(Buffer.from(ca?.signingCaCert ?? []).toString(), "CERT");
    assert.equal(Buffer.from(ca?.signingCaKey ?? []).toString(), "KEY");
    const alone = await runCli(cluster, ["cluster", "ca", "--cert-expiry", "2h"]);
    assert.match(alone.stderr, /'--cert-expiry' needs '--rotate'/);
  });
});

describe("cluster info", () => {
  const info = {
    nodeId: "n1",
    connected: true,
    managers: ["172.31.0.1:2377"],
    version: "1",
    role: NodeRole.MANAGER,
    certificateExpiresAt: timestampFromMs(nowMs + 3 * 24 * 3_600_000),
  };

  it("counts managers and the quorum, and tells how long the certificate holds", async () => {
    const control = new ClusterControl();
    const defaultAddressPools = ["10.0.0.0/8", "fd00:1::/48"];
    const network = create(NetworkConfigSchema, {
      defaultAddressPools,
      subnetSize: 24,
      dataPathPort: 7789,
    });
    if (control.cluster.spec !== undefined) control.cluster.spec.network = network;
    const lost = aNode("h3", true);
    if (lost.managerStatus !== undefined) lost.managerStatus.leader = false;
    const leader = aNode("h1", true);
    if (leader.managerStatus !== undefined) {
      leader.managerStatus.reachability = Reachability.REACHABLE;
    }
    const listNodes = async () => ({ nodes: [leader, aNode("h2"), lost] });
    await using cluster = await FakeCluster.open({
      control: { ...control.handlers, listNodes },
      node: { getInfo: async () => info },
    });
    const clock = new FakeClock(nowMs);
    const { stdout } = await runCli(cluster, ["cluster", "info"], { clock });
    assert.match(stdout, /^Managers: 2, 1 of them reachable; the quorum is 2$/m);
    assert.match(stdout, /^Nodes: 3$/m);
    assert.match(stdout, /^Autolock: off$/m);
    assert.match(stdout, /^Address pools: 10\.0\.0\.0\/8 in \/24, fd00:1::\/48$/m);
    assert.match(stdout, /^Data path port: 7789$/m);
    assert.match(stdout, /^Certificate: until 2026-01-05T03:04:05\.000Z, 3 days from now$/m);
    const json = await runCli(cluster, ["cluster", "info", "--format", "json"]);
    assert.deepEqual(JSON.parse(json.stdout).managers, info.managers);
  });

  it("says why this host's manager does not run, while the node is served by others", async () => {
    const getInfo = async () => ({ ...info, managerError: 'log "log.db" is damaged' });
    await using cluster = await FakeCluster.open({ node: { getInfo } });
    const { stdout } = await runCli(cluster, ["cluster", "info"]);
    assert.match(stdout, /^Swarm: active$/m);
    assert.match(stdout, /^Manager: not running \(log "log\.db" is damaged\)$/m);
    assert.doesNotMatch(stdout, /^Managers:/m);
  });

  it("tells of this host also where the managers cannot say anything", async () => {
    const listNodes = async () => {
      throw new Fault("unavailable", "no manager leads now");
    };
    await using cluster = await FakeCluster.open({
      control: { listNodes },
      node: { getInfo: async () => info },
    });
    const { code, stdout } = await runCli(cluster, ["cluster", "info"]);
    assert.equal(code, 0);
    assert.match(stdout, /^Role: manager$/m);
    assert.doesNotMatch(stdout, /^Manager:/m);
    assert.match(stdout, /^Managers: unknown \(no manager leads now\)$/m);
  });
});

describe("cluster backup and restore", () => {
  const parts = ["one", "two", "three"].map((text) => Buffer.from(text));

  it("writes a file for its owner alone, and replaces none unasked", async () => {
    const backupCluster = async function* () {
      for (const data of parts) yield { data };
    };
    await using cluster = await FakeCluster.open({ control: { backupCluster } });
    await withFolder(async (folder) => {
      const file = join(folder, "backup");
      const { stdout } = await runCli(cluster, ["cluster", "backup", file]);
      assert.equal(stdout, `Wrote ${file}: 11 bytes.\n`);
      assert.equal(await readFile(file, "utf8"), "onetwothree");
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      const again = await runCli(cluster, ["cluster", "backup", file]);
      assert.match(again.stderr, /it exists already; .* --force/);
      await writeFile(file, "old");
      await runCli(cluster, ["cluster", "backup", "--force", file]);
      const { stderr } = await runCli(cluster, ["cluster", "backup", "-"]);
      assert.match(stderr, /A backup is written to a file/);
      assert.equal(await readFile(file, "utf8"), "onetwothree");
      assert.deepEqual(await readdir(folder), ["backup"]);
    });
  });

  it("leaves no part of a backup that breaks off", async () => {
    const backupCluster = async function* () {
      yield { data: Buffer.from("one") };
      throw new Fault("unavailable", "the manager ends");
    };
    await using cluster = await FakeCluster.open({ control: { backupCluster } });
    await withFolder(async (folder) => {
      const file = join(folder, "backup");
      await writeFile(file, "old");
      const { stderr } = await runCli(cluster, ["cluster", "backup", "-f", file]);
      assert.match(stderr, /Cannot write the backup .*: the manager ends/);
      assert.equal(await readFile(file, "utf8"), "old");
      assert.deepEqual(await readdir(folder), ["backup"]);
    });
  });

  it("restore sends the file after its options", async () => {
    const seen: RestoreClusterRequest[] = [];
    const restoreCluster = async (requests: AsyncIterable<RestoreClusterRequest>) => {
      for await (const request of requests) seen.push(request);
      return { nodeId: "n9", managerAddress: "10.0.0.9:2377" };
    };
    await using cluster = await FakeCluster.open({ node: { restoreCluster } });
    await withFolder(async (folder) => {
      const file = join(folder, "backup");
      await writeFile(file, Buffer.alloc(300_000, "x"));
      const argv = ["cluster", "restore", "--advertise-addr", "10.0.0.9", "--unlock", file];
      const { stdout } = await runCli(cluster, argv, { stdin: unlockKey });
      assert.match(
        stdout,
        /^Swarm restored: current node \(n9\) is its only manager, at 10\.0\.0\.9/,
      );
    });
    const [first, ...rest] = seen;
    assert.deepEqual([first?.advertiseAddress, first?.unlockKey], ["10.0.0.9", unlockKey]);
    assert.equal(first?.data.length, 0);
    assert.equal(Buffer.concat(rest.map(({ data }) => data)).length, 300_000);
    const missing = await runCli(cluster, ["cluster", "restore", "/nowhere/backup"]);
    assert.match(missing.stderr, /Cannot read "\/nowhere\/backup"/);
  });
});
