/**
 * Hosts and a cluster as they would be, for tests of planning: it says what a survey would find, and takes steps as the real
 * ones do, refusing what they would refuse. After every step a majority of the managers must be reachable.
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Node, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ClusterSpecSchema, type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  NodeRole,
  NodeState,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { HostFacts } from "#proto/host-report.ts";
import type { ClusterFile, FileHost } from "../cluster-file/cluster-file.ts";
import { settingChanges, specWith } from "../cluster-file/options.ts";
import { nodeSettings } from "../node-settings.ts";
import type { Leaver, Phase, Plan, Step } from "../steps.ts";
import type { Survey, SurveyedHost } from "../survey.ts";

export interface ModelHost {
  readonly address: string;
  /** Whether ssh reaches it, and its node is up. */
  readonly isUp: boolean;
  installed?: string;
  runs: boolean;
  nodeId?: string;
}

export interface ModelNode {
  readonly id: string;
  readonly address: string;
  isManager: boolean;
  availability: NodeAvailability;
  labels: Readonly<Record<string, string>>;
}

const clusterId = "the-cluster";

export class Model {
  readonly hosts = new Map<string, ModelHost>();
  readonly nodes = new Map<string, ModelNode>();
  spec = create(ClusterSpecSchema);
  #ids = 0;

  /** A host that is a node already. */
  addNode(host: Omit<ModelHost, "nodeId">, node: Omit<ModelNode, "id" | "address">): void {
    const id = this.#newId();
    this.hosts.set(host.address, { ...host, nodeId: id });
    this.nodes.set(id, { ...node, id, address: host.address });
  }

  hasQuorum(): boolean {
    const managers = [...this.nodes.values()].filter(({ isManager }) => isManager);
    const reachable = managers.filter(({ address }) => this.hosts.get(address)?.isUp);
    return this.nodes.size === 0 || reachable.length > managers.length / 2;
  }

  survey(file: ClusterFile): Survey {
    const hosts = file.hosts.map((host) => this.#surveyed(host));
    const hasMember = hosts.some(({ node }) => node?.nodeId);
    if (!hasMember || !hosts.some(({ node }) => node?.isManager)) return { hosts };
    const nodes = Array.from(this.nodes.values(), (node) => this.#shown(node));
    return { hosts, cluster: { id: clusterId, spec: this.spec, nodes } };
  }

  perform(file: ClusterFile, { phases, leavers }: Pick<Plan, "phases" | "leavers">): void {
    for (const phase of phases) {
      assert.equal(new Set(phase.map(({ on }) => on)).size, phase.length, "one step for each host");
      this.#performPhase(file, phase, leavers);
    }
  }

  #performPhase(file: ClusterFile, phase: Phase, leavers: readonly Leaver[]): void {
    for (const step of phase) {
      this.#take(file, step, leavers);
      assert(this.hasQuorum(), `${step.kind} on ${step.on} loses the quorum`);
    }
  }

  #take(file: ClusterFile, step: Step, leavers: readonly Leaver[]): void {
    const named = file.hosts.find(({ name }) => name === step.on);
    const host = named && this.#host(named);
    const leaver = leavers.find(({ name }) => name === step.on);
    const node = this.nodes.get(leaver?.nodeId ?? host?.nodeId ?? "");
    if (named !== undefined) assert(host?.isUp, `${step.on} cannot be reached`);
    switch (step.kind) {
      case "dependencies":
        return;
      case "install":
        assert(host !== undefined);
        host.installed = step.file.version;
        host.runs = true;
        return;
      case "start":
        assert(host?.installed !== undefined);
        host.runs = true;
        return;
      case "forget":
        assert(host !== undefined && node === undefined, "it is a node still");
        delete host.nodeId;
        return;
      case "init":
        assert.equal(this.nodes.size, 0, "there is a cluster already");
        this.spec = specWith(file);
        return this.#join(host, named, true);
      case "settings":
        this.spec = settingChanges(file, this.spec).spec;
        return;
      case "join":
        assert(this.nodes.size > 0);
        return this.#join(host, named, false);
      case "configure":
        assert(node !== undefined && named !== undefined);
        return void Object.assign(node, nodeSettings(named, specOf(node)));
      case "promote":
      case "demote":
        assert(node !== undefined);
        assert.equal(node.isManager, step.kind === "demote");
        node.isManager = step.kind === "promote";
        return;
      case "drain":
        assert(node !== undefined);
        node.availability = NodeAvailability.DRAIN;
        return;
      case "leave":
        assert(node !== undefined && !node.isManager, "it is a manager still");
        return void this.nodes.delete(node.id);
    }
  }

  #join(host: ModelHost | undefined, named: FileHost | undefined, isManager: boolean): void {
    assert(host !== undefined && named !== undefined && host.runs && host.nodeId === undefined);
    const id = this.#newId();
    host.nodeId = id;
    const { availability } = nodeSettings(named);
    this.nodes.set(id, { id, address: host.address, isManager, availability, labels: {} });
  }

  #surveyed(host: FileHost): SurveyedHost {
    const { isUp, installed, runs, nodeId } = this.#host(host);
    if (!isUp) return { host, fault: new Fault("unavailable", "it is down") };
    const facts = factsOf({ ...(installed !== undefined && { installedVersion: installed }) });
    const report = { checks: [], facts };
    const hasData = nodeId !== undefined;
    if (!runs) return { host, report, clockAheadMs: 0, hasData };
    const node = {
      nodeId: nodeId ?? "",
      clusterId: nodeId === undefined ? "" : clusterId,
      isManager: this.nodes.get(nodeId ?? "")?.isManager ?? false,
      isLocked: false,
      version: installed ?? "",
    };
    return { host, report, clockAheadMs: 0, hasData, node };
  }

  #shown(node: ModelNode): Node {
    const { id, address, isManager } = node;
    const isUp = this.hosts.get(address)?.isUp ?? false;
    const role = isManager ? NodeRole.MANAGER : NodeRole.WORKER;
    const reachability = isUp ? Reachability.REACHABLE : Reachability.UNREACHABLE;
    return create(NodeSchema, {
      id,
      role,
      spec: specOf(node),
      description: { hostname: `host-${address}` },
      status: { state: isUp ? NodeState.READY : NodeState.DOWN, address },
      ...(isManager && {
        managerStatus: { raftId: 1n, address: `${address}:2377`, reachability, leader: false },
      }),
    });
  }

  /** One that nobody has spoken of is up, and nothing is there. */
  #host({ address }: FileHost): ModelHost {
    const host = this.hosts.get(address) ?? { address, isUp: true, runs: false };
    this.hosts.set(address, host);
    return host;
  }

  #newId(): string {
    this.#ids += 1;
    return `node-${this.#ids}`;
  }
}

function specOf({ isManager, availability, labels }: ModelNode): NodeSpec {
  return create(NodeSpecSchema, {
    desiredRole: isManager ? NodeRole.MANAGER : NodeRole.WORKER,
    availability,
    annotations: { labels: { ...labels } },
  });
}

export function factsOf(given: Partial<HostFacts> = {}): HostFacts {
  return {
    arch: "x64",
    kernel: "6.1.0",
    os: "Debian GNU/Linux 12 (bookworm)",
    osId: "debian",
    hostname: "",
    machineId: "",
    epochMs: 0,
    cgroup: 2,
    cpus: 1,
    memoryBytes: 2 ** 30,
    diskFreeBytes: 2 ** 33,
    interfaces: [],
    defaultInterface: undefined,
    installedVersion: undefined,
    swarmdActive: undefined,
    apt: false,
    userId: 0,
    missingPackages: [],
    ...given,
  };
}
