import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeState, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseHostReport } from "#proto/host-report.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";
import { areNeighbours, planUpgrade, quorumProblem, type UpgradeWish } from "./plan-upgrade.ts";
import type { Survey, SurveyedHost } from "./survey.ts";

const packages = {
  x64: { path: "/p/swarm-0.2.0-linux-x64.tar.gz", version: "0.2.0", arch: "x64" as const },
};
const wish: UpgradeWish = {
  packages,
  packageBytes: 40_000_000,
  parallel: 2,
  allowDowngrade: false,
};

interface HostInit {
  readonly name: string;
  readonly manager?: "leads" | "follows" | "lost";
  readonly version?: string;
  readonly facts?: Readonly<Record<string, string>>;
  readonly state?: (typeof NodeState)[keyof typeof NodeState];
}

const facts = {
  arch: "x64",
  kernel: "6.1",
  os: "Debian",
  os_id: "debian",
  hostname: "h",
  machine_id: "m",
  epoch_ms: "0",
  cgroup: "2",
  cpus: "1",
  memory_bytes: "1",
  disk_free_bytes: "9000000000",
  interfaces: "",
  default_interface: "",
  installed_version: "0.1.0",
  swarmd_active: "active",
  apt: "yes",
  user_id: "0",
  missing_packages: "",
};

function hostOf({ name, manager, version = "0.1.0", facts: other = {} }: HostInit): SurveyedHost {
  const host: FileHost = {
    name,
    address: name,
    isManager: manager !== undefined,
    labels: {},
    runsTasks: true,
    ssh: {},
  };
  const lines = Object.entries({ ...facts, installed_version: version, ...other });
  const report = parseHostReport(lines.map(([key, value]) => `fact\t${key}\t${value}\n`).join(""));
  const node = {
    nodeId: `id-${name}`,
    clusterId: "c",
    isManager: host.isManager,
    isLocked: false,
    version,
  };
  return { host, report, node };
}

function nodeOf({ name, manager, state = NodeState.READY }: HostInit): Node {
  const reachability = manager === "lost" ? Reachability.UNREACHABLE : Reachability.REACHABLE;
  return create(NodeSchema, {
    id: `id-${name}`,
    description: { hostname: name },
    status: { state, message: state === NodeState.READY ? "" : "it was silent" },
    ...(manager && { managerStatus: { raftId: 7n, reachability, leader: manager === "leads" } }),
  });
}

function surveyOf(...hosts: readonly HostInit[]): Survey {
  const cluster = { id: "c", spec: create(ClusterSpecSchema), nodes: hosts.map(nodeOf) };
  return { hosts: hosts.map(hostOf), cluster };
}

const managers: readonly HostInit[] = [
  { name: "a", manager: "leads" },
  { name: "b", manager: "follows" },
  { name: "c", manager: "follows" },
];
const workers: readonly HostInit[] = ["v", "w", "x"].map((name) => ({ name }));

function stepsOf(survey: Survey, given = wish): readonly string[] {
  return planUpgrade(survey, given).steps.map((step) => step.map(({ name }) => name).join("+"));
}

test("plan of an upgrade, managers go one by one with the leader last, then workers some at a time", () => {
  const survey = surveyOf(...managers, ...workers);
  assert.deepEqual(planUpgrade(survey, wish).problems, []);
  assert.deepEqual(stepsOf(survey), ["b", "c", "a", "v+w", "x"]);
  assert.deepEqual(stepsOf(survey, { ...wish, parallel: 9 }), ["b", "c", "a", "v+w+x"]);
});

test("plan of an upgrade, hosts that have the version are left out, and without others nothing is to be done", () => {
  const [a, b, c] = managers;
  assert(a && b && c);
  const half = surveyOf(
    a,
    { ...b, version: "0.2.0" },
    c,
    { name: "v", version: "0.2.0" },
    { name: "w" },
  );
  assert.deepEqual(stepsOf(half), ["c", "a", "w"]);
  assert.deepEqual(planUpgrade(half, wish).done, ["b", "v"]);
  const all = surveyOf(...managers.map((host) => ({ ...host, version: "0.2.0" })));
  assert.deepEqual(stepsOf(all), []);
});

test("plan of an upgrade, one whose files are new and whose swarmd is not is not done", () => {
  const survey = surveyOf({ name: "a", manager: "leads", facts: { installed_version: "0.2.0" } });
  assert.deepEqual(stepsOf(survey), ["a"]);
});

const refusals: readonly {
  readonly what: string;
  readonly host: Partial<HostInit>;
  readonly says: RegExp;
}[] = [
  {
    what: "a newer version",
    host: { version: "0.3.0" },
    says: /it has 0\.3\.0, and the package is 0\.2\.0, which is older: .*--allow-downgrade/,
  },
  {
    what: "another architecture",
    host: { facts: { arch: "arm64" } },
    says: /it is arm64, and there are packages for x64 alone/,
  },
  {
    what: "an unknown architecture",
    host: { facts: { arch: "other" } },
    says: /no packages for its processor/,
  },
  {
    what: "a full disk",
    host: { facts: { disk_free_bytes: "1000000" } },
    says: /its disk has 1 MB left, and 200 MB are needed/,
  },
  {
    what: "a node that is down",
    host: { state: NodeState.DOWN },
    says: /its node is not ready: it was silent/,
  },
];

for (const { what, host, says } of refusals) {
  test(`plan of an upgrade, a host with ${what} is refused by its name before anything changes`, () => {
    const { problems } = planUpgrade(surveyOf(...managers, { name: "v", ...host }), wish);
    assert.deepEqual(
      problems.map((problem) => problem.host),
      ["v"],
    );
    assert.match(problems[0]?.text ?? "", says);
  });
}

test("plan of an upgrade, a host that cannot be reached or is in no cluster is refused", () => {
  const survey = surveyOf(...managers);
  const [lost, stranger] = surveyOf({ name: "v" }, { name: "w" }).hosts;
  assert(lost?.node && stranger?.node);
  const fault = new Fault("unavailable", "nothing answers at v");
  const hosts = [
    ...survey.hosts,
    { host: lost.host, fault },
    { ...stranger, node: { ...stranger.node, nodeId: "", clusterId: "" } },
  ];
  const { problems } = planUpgrade({ ...survey, hosts }, wish);
  assert.deepEqual(
    problems.map(({ host }) => host),
    ["v", "w"],
  );
  assert.equal(problems[0]?.text, "nothing answers at v");
  assert.match(problems[1]?.text ?? "", /run swarmctl cluster apply first/);
});

test("plan of an upgrade, going back needs its flag, and takes no more than one minor version", () => {
  const newer = surveyOf(...managers.map((host) => ({ ...host, version: "0.3.0" })));
  assert.deepEqual(stepsOf(newer, { ...wish, allowDowngrade: true }), ["b", "c", "a"]);
  const far = planUpgrade(surveyOf({ name: "a", manager: "leads", version: "0.4.0" }), {
    ...wish,
    allowDowngrade: true,
  });
  assert.match(far.problems[0]?.text ?? "", /only neighbouring minor versions work together/);
});

test("plan of an upgrade, nodes that the file does not name and few managers are warned of", () => {
  const survey = surveyOf({ name: "a", manager: "leads" });
  const stranger = nodeOf({ name: "z" });
  assert(survey.cluster);
  const cluster = { ...survey.cluster, nodes: [...survey.cluster.nodes, stranger] };
  const { warnings } = planUpgrade({ ...survey, cluster }, wish);
  assert.match(
    warnings.join("\n"),
    /not in the file, and left as they are: z\n.*with one manager nothing can be changed/s,
  );
});

test("neighbouring versions work together, others are not promised to", () => {
  for (const [a, b] of [
    ["0.1.0", "0.1.9"],
    ["0.1.0", "0.2.0-rc.1"],
    ["0.2.0", "0.1.5"],
    ["0.9.0", "1.0.0"],
    ["1.0.3", "0.4.0"],
  ] as const) {
    assert.ok(areNeighbours(a, b), `${a} ${b}`);
  }
  for (const [a, b] of [
    ["0.1.0", "0.3.0"],
    ["1.1.0", "0.9.0"],
    ["1.0.0", "3.0.0"],
  ] as const) {
    assert.ok(!areNeighbours(a, b), `${a} ${b}`);
  }
});

test("a manager may be restarted while a majority can be reached without it", () => {
  const three = managers.map(nodeOf);
  assert.equal(quorumProblem(three, "id-b"), undefined);
  const one = [...managers.slice(0, 2), { name: "c", manager: "lost" as const }].map(nodeOf);
  assert.equal(
    quorumProblem(one, "id-b"),
    "without it 1 of 3 managers could be reached, and 2 are needed; c cannot be reached now",
  );
  assert.equal(quorumProblem(one, "id-c"), undefined);
  assert.equal(quorumProblem(managers.slice(0, 1).map(nodeOf), "id-a"), undefined);
  assert.equal(quorumProblem(managers.slice(0, 2).map(nodeOf), "id-a"), undefined);
});
