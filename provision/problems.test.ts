import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { HostFacts } from "#proto/host-report.ts";
import type { ClusterFile } from "./cluster-file/cluster-file.ts";
import type { Packages } from "./package-file.ts";
import { findProblems, type Problem } from "./problems.ts";
import type { Survey, SurveyedHost } from "./survey.ts";
import { factsOf } from "./testing/model.ts";

const packages: Packages = { x64: { path: "/p", version: "1.0.0", arch: "x64" } };
const file: ClusterFile = { cluster: "prod", ssh: {}, hosts: [], options: {}, warnings: [] };

function host(
  name: string,
  facts: Partial<HostFacts> = {},
  rest: Partial<SurveyedHost> = {},
): SurveyedHost {
  return {
    host: { address: name, name, isManager: true, runsTasks: true, ssh: {} },
    report: { checks: [], facts: factsOf({ hostname: name, machineId: `m-${name}`, ...facts }) },
    clockAheadMs: 0,
    ...rest,
  };
}

function node(clusterId: string, version = "1.0.0") {
  return { nodeId: "n1", clusterId, isManager: true, isLocked: false, version };
}

interface Given extends Partial<Survey> {
  readonly offered?: Packages;
  readonly options?: ClusterFile["options"];
}

function problems({ hosts = [], offered = packages, options = {}, ...rest }: Given): string[] {
  const survey = { hosts, ...rest };
  const found = findProblems(
    { ...file, options },
    { survey, packages: offered, skipUnreachable: false },
  );
  return found.problems.map(lineOf);
}

function lineOf({ host: name, check, detail }: Problem): string {
  return `${name} ${check}: ${detail}`;
}

test("hosts that fit together have no problems", () => {
  assert.deepEqual(problems({ hosts: [host("a"), host("b")] }), []);
});

test("a host that cannot be reached is a problem, or is left out where that is wished", () => {
  const fault = new Fault("unavailable", "Cannot reach b by ssh: it does not answer");
  const { host: named } = host("b");
  const hosts = [host("a"), { host: { ...named, isManager: false }, fault }];
  assert.deepEqual(problems({ hosts }), ["b ssh: Cannot reach b by ssh: it does not answer"]);
  const found = findProblems(file, { survey: { hosts }, packages, skipUnreachable: true });
  assert.deepEqual([found.problems.length, found.warnings.map(lineOf).length], [0, 1]);
});

test("while a manager of the file cannot be asked no cluster begins, whatever is wished", () => {
  const fault = new Fault("unavailable", "down");
  const hosts = [host("a"), { host: { ...host("b").host, isManager: true }, fault }];
  const found = findProblems(file, { survey: { hosts }, packages, skipUnreachable: true });
  assert.deepEqual(found.problems.map(lineOf), [
    "cluster managers: no host says that there is a cluster yet, and b cannot be asked",
  ]);
});

test("copies of one machine are named by machine-id, by hostname, or by both", () => {
  assert.deepEqual(problems({ hosts: [host("a"), host("b", { machineId: "m-a" })] }), [
    "b machine-id: m-a is also that of a",
  ]);
  assert.deepEqual(problems({ hosts: [host("a"), host("b", { hostname: "a" })] }), [
    "b hostname: a is also that of a",
  ]);
});

test("a host of another architecture than the package's is named", () => {
  assert.deepEqual(problems({ hosts: [host("a"), host("b", { arch: "arm64" })] }), [
    "b package: the host is arm64, the package is for x64",
  ]);
});

test("without a package only hosts that have swarm will do", () => {
  const hosts = [host("a"), host("b", { installedVersion: "1.0.0" })];
  assert.deepEqual(problems({ hosts, offered: {} }), ["a package: swarm is not installed there"]);
});

test("clocks are compared with the one in the middle", () => {
  const late = { clockAheadMs: -600_000 };
  const hosts = [host("a"), host("b", {}, late), host("c", {}, { clockAheadMs: 20_000 })];
  assert.deepEqual(problems({ hosts }), ["b clock: its clock is 10 min behind that of a"]);
});

test("what a host lacks is a problem, but not what apt-get will bring", () => {
  const checks = [
    {
      name: "program:nft",
      result: "missing",
      detail: "not there",
      how: "apt-get install nftables",
    },
    { name: "kernel:vxlan", result: "missing", detail: "no VXLAN", how: "another kernel" },
    { name: "port:2377/tcp", result: "missing", detail: "taken by x", how: "stop x" },
  ] as const;
  const with_ = (apt: boolean) =>
    host("a", {}, { report: { checks, facts: factsOf({ apt, hostname: "a" }) } });
  const others = ["a kernel:vxlan: no VXLAN", "a port:2377/tcp: taken by x"];
  assert.deepEqual(problems({ hosts: [with_(true)] }), others);
  assert.deepEqual(problems({ hosts: [with_(false)] }), ["a program:nft: not there", ...others]);
});

const nodes = [
  create(NodeSchema, { id: "n1", description: { engine: { engineVersion: "2.0.0" } } }),
];

test("a package that is older than the cluster is refused where it would be installed", () => {
  const spec = create(ClusterSpecSchema, { annotations: { name: "prod" } });
  const cluster = { id: "c", spec, nodes };
  const hosts = [host("a", { installedVersion: "2.0.0" }, { node: node("c", "2.0.0") }), host("b")];
  assert.deepEqual(problems({ hosts, cluster }), [
    "b package: the package is 1.0.0, older than the cluster's 2.0.0",
  ]);
});

test("a cluster of another name, hosts of other clusters and what cannot be changed are refused by name", () => {
  const spec = create(ClusterSpecSchema, {
    annotations: { name: "staging" },
    network: { dataPathPort: 4789, defaultAddressPools: ["10.0.0.0/8"], subnetSize: 24 },
  });
  const installed = { installedVersion: "1.0.0" };
  const hosts = [
    host("a", installed, { node: node("c") }),
    host("b", installed, { node: node("d") }),
  ];
  const options = { "data-path-port": 4790, "default-address-pool": "10.0.0.0/8", autolock: true };
  assert.deepEqual(problems({ hosts, cluster: { id: "c", spec, nodes: [] }, options }), [
    `cluster name: the hosts' cluster is "staging", the file's "prod"`,
    "b cluster: it is in another cluster",
    "cluster data-path-port: is chosen when a cluster begins and cannot be changed",
  ]);
});

test("a cluster whose managers do not answer is left alone", () => {
  const hosts = [host("a", { installedVersion: "1.0.0" }, { node: node("c") })];
  const clusterFault = new Fault("unavailable", "the manager on a: no leader");
  assert.deepEqual(problems({ hosts, clusterFault }), [
    "cluster managers: the manager on a: no leader",
  ]);
});
