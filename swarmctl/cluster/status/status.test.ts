import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Cluster,
  ClusterSchema,
  type Node,
  NodeSchema,
  RootCaSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type BackupStatusSchema,
  NodeRole,
  NodeState,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster, type FakeHost } from "../../testing/fake-cluster.ts";
import { idOf, nowMs } from "../../testing/objects.ts";
import { runCli } from "../../testing/run-cli.ts";
import { judge } from "./problems.ts";
import type { Health, Host, HostState } from "./read-health.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const well: HostState = {
  clockOffsetMs: 3,
  clockErrorMs: 5,
  diskBytes: 100e9,
  diskFreeBytes: 50e9,
};

interface HostInit {
  readonly manager?: "leader" | "reachable" | "unreachable";
  readonly state?: NodeState;
  readonly leftMs?: number;
  readonly version?: string;
  readonly backup?: MessageInitShape<typeof BackupStatusSchema>;
}

function aNode(name: string, init: HostInit = {}): Node {
  const { manager, state = NodeState.READY, leftMs = 60 * dayMs, version = "0.1.0" } = init;
  const { backup } = init;
  return create(NodeSchema, {
    id: idOf(name),
    spec: {},
    role: manager === undefined ? NodeRole.WORKER : NodeRole.MANAGER,
    description: {
      hostname: name,
      engine: { engineVersion: version },
      tls: {
        notBefore: timestampFromMs(nowMs + leftMs - 90 * dayMs),
        notAfter: timestampFromMs(nowMs + leftMs),
      },
    },
    status: { state },
    ...(manager !== undefined && {
      managerStatus: {
        leader: manager === "leader",
        reachability: manager === "unreachable" ? Reachability.UNREACHABLE : Reachability.REACHABLE,
        ...(backup !== undefined && { backup }),
      },
    }),
  });
}

function aHost(name: string, init: HostInit & Pick<Host, "silence"> = {}, state = well): Host {
  const { silence } = init;
  const node = aNode(name, init);
  if (silence !== undefined) return { node, name, silence };
  return node.status?.state === NodeState.READY ? { node, name, state } : { node, name };
}

const managers = [
  aHost("h1", { manager: "leader" }),
  aHost("h2", { manager: "reachable" }),
  aHost("h3", { manager: "reachable" }),
];

function aCluster(backup = false): Cluster {
  return create(ClusterSchema, {
    id: "c1",
    spec: {
      annotations: { name: "prod" },
      ...(backup && { backup: { schedule: "@daily", folder: "/b", keep: 7 } }),
    },
  });
}

function health(hosts: readonly Host[], init: Partial<Health> = {}): Health {
  return { nowMs, cluster: aCluster(), hosts, ...init };
}

const problemsOf = (hosts: readonly Host[], init: Partial<Health> = {}) =>
  judge(health(hosts, init)).problems.map(({ problem, mend }) => `${problem} → ${mend}`);

test("cluster status, of a cluster that is well nothing is said but what could be better", () => {
  const { problems, notes } = judge(health(managers));
  assert.deepEqual(problems, []);
  assert.deepEqual(notes, [
    "No backups are scheduled: swarmctl cluster update --backup-schedule @daily",
  ]);
});

const faults: readonly [string, Host, RegExp][] = [
  [
    "a host that is down",
    aHost("h4", { state: NodeState.DOWN }),
    /^h4 is down → Start its host; .*swarmctl node rm h4000/,
  ],
  [
    "a host that has joined again",
    {
      ...aHost("h2", { state: NodeState.DOWN }),
      node: { ...aNode("h4", { state: NodeState.DOWN }) },
    },
    /^h2 is ready, and in the list once more, as one that is down → swarmctl node rm h4000/,
  ],
  [
    "a manager that is down",
    aHost("h4", { state: NodeState.DOWN, manager: "unreachable" }),
    /^h4 is down, and its manager with it → .*swarmctl node rm --force h4/,
  ],
  [
    "a manager that does not run on a host that does",
    aHost("h4", { manager: "unreachable" }),
    /^The manager of h4 cannot be reached → On h4: swarmctl cluster info$/,
  ],
  [
    "a host that never came",
    aHost("h4", { state: NodeState.UNKNOWN }),
    /^h4 was let in and has not been seen since → /,
  ],
  [
    "a host that does not answer",
    aHost("h4", { silence: new Fault("unavailable", "no answer") }),
    /^h4 does not answer managers: no answer → swarmctl system check --mesh$/,
  ],
  [
    "a certificate that nobody renews",
    aHost("h4", { leftMs: 10 * dayMs }),
    /^The certificate of h4 ends in 10 days and is not renewed → On h4: journalctl/,
  ],
  [
    "a certificate that has expired",
    aHost("h4", { leftMs: -3 * hourMs }),
    /^The certificate of h4 has expired, 3 hours ago → On h4: swarmctl cluster leave --force/,
  ],
  [
    "a clock that is behind",
    aHost("h4", {}, { ...well, clockOffsetMs: -600_000 }),
    /^The clock of h4 is 10 minutes behind the others → On h4: timedatectl/,
  ],
  [
    "a disk that is nearly full",
    aHost("h4", {}, { ...well, diskFreeBytes: 4e9 }),
    /^The disk of h4 is nearly full: 4GB of 100GB are free → swarmctl system prune --all --node h4/,
  ],
];
for (const [what, host, expected] of faults) {
  test(`cluster status, ${what} is named, with what to do`, () => {
    const found = problemsOf([...managers, host]);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0] ?? "", expected);
  });
}

test("cluster status, what a slow answer says of a clock is not held against it", () => {
  const slow = { ...well, clockOffsetMs: 6_000, clockErrorMs: 1_500 };
  assert.deepEqual(problemsOf([...managers, aHost("h4", {}, slow)]), []);
});

test("cluster status, a host of another version that cannot tell is no problem, and the versions are noted", () => {
  const silence = new Fault("unimplemented", "of another version");
  const hosts = [...managers, aHost("h4", { silence, version: "0.0.9" })];
  assert.deepEqual(problemsOf(hosts), []);
  assert.match(judge(health(hosts)).notes.join(), /several versions, 0\.1\.0, 0\.0\.9: swarmctl/);
});

test("cluster status, backups that fail or are late are named, on managers that are up", () => {
  const at = (ms: number) => timestampFromMs(nowMs + ms);
  const manager = "reachable";
  const hosts = [
    aHost("h1", { manager: "leader", backup: { takenAt: at(-hourMs), dueAt: at(hourMs) } }),
    aHost("h2", {
      manager,
      backup: { error: "the disk is full", failingSince: at(-3 * hourMs), dueAt: at(1) },
    }),
    aHost("h3", { manager, backup: { takenAt: at(-3 * dayMs), dueAt: at(-2 * dayMs) } }),
    aHost("h4"),
  ];
  const found = problemsOf(hosts, { cluster: aCluster(true) });
  assert.equal(found.length, 2, found.join("\n"));
  assert.match(found[0] ?? "", /^h2 writes no backups, for 3 hours: the disk is full → /);
  assert.match(found[1] ?? "", /^A backup of h3 was due 2 days ago → /);
});

test("cluster status, a root that ends soon is named", async () => {
  const { root } = await TestAuthority.create();
  const cluster = {
    ...aCluster(),
    rootCa: create(RootCaSchema, { caCert: Buffer.from(root) }),
  };
  const later = nowMs + 100 * 365 * dayMs;
  const hosts = managers.map(({ name, state }) => ({
    name,
    node: aNode(name),
    state: state ?? well,
  }));
  const found = problemsOf(hosts, { cluster, nowMs: later });
  assert.match(found[0] ?? "", /^The root certificate has expired → swarmctl cluster ca --rotate$/);
});

test("cluster status, an even number of managers is noted", () => {
  const { notes } = judge(health(managers.slice(0, 2)));
  assert.match(notes[0] ?? "", /^2 managers stand no more losses than 1: /);
});

function openCluster(nodes: readonly Node[], host: Partial<FakeHost> = {}) {
  const control = {
    listNodes: async () => ({ nodes: [...nodes] }),
    getCluster: async () => ({ cluster: aCluster() }),
  };
  return FakeCluster.open({ control, ...host });
}

const answering: FakeHost["engine"] = {
  getHostState: async () => ({
    now: timestampFromMs(Date.now()),
    diskBytes: 100_000_000_000n,
    diskFreeBytes: 40_000_000_000n,
  }),
};
const leftMs = Date.now() - nowMs + 45 * dayMs;

test("cluster status, one screen, and 0 where all is well", async () => {
  const nodes = [aNode("h1", { manager: "leader", leftMs }), aNode("h2", { leftMs })];
  await using cluster = await openCluster(nodes, { engine: answering });
  const { code, stdout, stderr } = await runCli(cluster, ["cluster", "status"]);
  assert.equal(stderr, "");
  assert.match(stdout, /^Cluster: {3}prod \(c1\): healthy$/m);
  assert.match(stdout, /^Managers: {2}1, 1 reachable; the quorum is 1; h1 leads$/m);
  assert.match(stdout, /^h2 +Worker +Ready +Active +0\.1\.0 +6 weeks left +ok +40GB \(40%\)$/m);
  assert.equal(code, 0);
});

test("cluster status, of many hosts those are shown that matter, and 1 where there is something to do", async () => {
  const workers = Array.from({ length: 30 }, (_, index) => aNode(`w${index + 10}`, { leftMs }));
  const down = aNode("x1", { state: NodeState.DOWN, leftMs });
  const nodes = [aNode("h1", { manager: "leader", leftMs }), ...workers, down];
  await using cluster = await openCluster(nodes, { engine: answering });
  const { code, stdout } = await runCli(cluster, ["cluster", "status"]);
  assert.equal(code, 1);
  assert.match(stdout, /: 1 problem$/m);
  assert.match(stdout, /^x1 +Worker +Down/m);
  assert.doesNotMatch(stdout, /^w10/m);
  assert.match(stdout, /^… and 30 hosts more, all well: --all shows them$/m);
  assert.match(stdout, /^x1 is down$/m);
  const all = await runCli(cluster, ["cluster", "status", "--all"]);
  assert.match(all.stdout, /^w10 +Worker +Ready/m);
});

test("cluster status, of a manager that knows nothing yet it is said where the others are, and that a certificate has expired", async () => {
  const unknown = async () => {
    throw new Fault("failed-precondition", "there is no cluster yet");
  };
  const control: FakeHost["control"] = {
    listNodes: async (_request, { metadata }) => {
      if (metadata.get("swarm-read") !== "stale") throw new Fault("unavailable", "no leader");
      return { nodes: [] };
    },
    getCluster: unknown,
  };
  const node: FakeHost["node"] = {
    getInfo: async () => ({
      clusterId: "c1",
      managers: ["192.0.2.1:2377", "192.0.2.2:2377"],
      certificateExpiresAt: timestampFromMs(Date.now() - 10 * dayMs),
    }),
  };
  await using cluster = await FakeCluster.open({ control, node });
  const { code, stdout } = await runCli(cluster, ["cluster", "status"]);
  assert.equal(code, 1);
  assert.match(stdout, /^Cluster: {3}c1: 2 problems$/m);
  assert.match(
    stdout,
    /Start the hosts of the managers \(192\.0\.2\.1:2377, 192\.0\.2\.2:2377\), more/,
  );
  assert.match(stdout, /^The certificate of this host has expired, 10 days ago$/m);
});

test("cluster status, for programs as JSON or by template", async () => {
  const nodes = [aNode("h1", { manager: "leader", leftMs })];
  await using cluster = await openCluster(nodes, { engine: answering });
  const { stdout } = await runCli(cluster, "cluster status --format json".split(" "));
  const value = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(value["healthy"], true);
  assert.deepEqual(value["managers"], { count: 1, reachable: 1, quorum: 1, leader: "h1" });
  assert.equal((value["hosts"] as { diskFreeBytes: number }[])[0]?.diskFreeBytes, 40e9);
  const template = ["cluster", "status", "--format", "{{.name}} {{.healthy}}"];
  assert.equal((await runCli(cluster, template)).stdout, "prod true\n");
});

test("cluster status, a host that hangs is unknown, and holds nothing up for long", {
  timeout: 60_000,
}, async () => {
  const never = Promise.withResolvers<never>();
  const nodes = [aNode("h1", { manager: "leader", leftMs })];
  await using cluster = await openCluster(nodes, {
    engine: { getHostState: () => never.promise },
  });
  const { code, stdout } = await runCli(cluster, ["cluster", "status"]);
  assert.match(stdout, /^h1 +Leader .* unknown +unknown$/m);
  assert.match(stdout, /^h1 does not answer managers: /m);
  assert.equal(code, 1);
});

test("cluster status, without a leader what one manager knew is shown, and that it is so", async () => {
  const nodes = [aNode("h1", { manager: "reachable", leftMs })];
  const control: FakeHost["control"] = {
    listNodes: async (_request, { metadata }) => {
      if (metadata.get("swarm-read") !== "stale")
        throw new Fault("unavailable", "the managers have no leader");
      return { nodes };
    },
    getCluster: async () => ({ cluster: aCluster() }),
  };
  await using cluster = await openCluster(nodes, { control, engine: answering });
  const { code, stdout } = await runCli(cluster, ["cluster", "status"]);
  assert.equal(code, 1);
  assert.match(stdout, /^Managers: {2}1, reachable: unknown; the quorum is 1; no leader$/m);
  assert.match(stdout, /^The managers have no leader .*\n.*--force-new-cluster$/m);
});
