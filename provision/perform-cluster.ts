/** Steps that are the cluster's: each is what `swarmctl cluster …` and `swarmctl node …` do, and changes nothing when it is done already. */
import { create } from "@bufbuild/protobuf";
import { isIP } from "node:net";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  AnnotationsSchema,
  NodeAvailability,
  NodeRole,
  Reachability,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { HostFacts } from "#proto/host-report.ts";
import { waitFor, type WaitPorts } from "./await-nodes.ts";
import { type ControlClient, swarmdOf } from "./clients.ts";
import type { ClusterFile, FileHost } from "./cluster-file/cluster-file.ts";
import { settingChanges, specWith } from "./cluster-file/options.ts";
import type { ManagerLink } from "./manager-link.ts";
import { nodeSettings } from "./node-settings.ts";
import type { Remote } from "./remote.ts";

/** A manager starts, catches up and is voted in meanwhile; machines may be slow. */
const roleLimitMs = 5 * 60_000;

/** Where others shall reach the host: by the interface that the file names, else by the file's address if the host has it. */
export function advertised(
  { address, interface: name }: FileHost,
  facts: HostFacts | undefined,
): string {
  if (name !== undefined) return name;
  const own = (facts?.interfaces ?? []).map((one) => one.address.replace(/\/.*$/, ""));
  if (isIP(address) === 0 || !own.includes(address)) return "";
  return address;
}

interface Newcomer {
  readonly host: FileHost;
  readonly remote: Remote;
  readonly facts: HostFacts | undefined;
}

/** The node's ID. */
export async function initCluster(file: ClusterFile, newcomer: Newcomer): Promise<string> {
  const { host, remote, facts } = newcomer;
  using swarmd = await swarmdOf(remote);
  const { nodeId: present } = await swarmd.client.getInfo({});
  if (present !== "") return present;
  const annotations = create(AnnotationsSchema, { name: file.cluster });
  const { nodeId } = await swarmd.client.initCluster({
    spec: { ...specWith(file), annotations },
    advertiseAddress: advertised(host, facts),
    availability: nodeSettings(host).availability,
  });
  return nodeId;
}

/** The token goes from manager to host through this process' memory and ssh alone. */
export async function joinCluster(link: ManagerLink, newcomer: Newcomer): Promise<string> {
  const { host, remote, facts } = newcomer;
  using swarmd = await swarmdOf(remote);
  const { nodeId: present, clusterId } = await swarmd.client.getInfo({});
  if (present !== "") {
    const { cluster } = await link.ask((control) => control.getCluster({}));
    if (cluster?.id === clusterId) return present;
    const message =
      "it has joined another cluster meanwhile: let one apply at a time run, and run it again";
    throw new Fault("failed-precondition", message);
  }
  const { token, managers } = await link.ask(async (control) => {
    const { tokens } = await control.getJoinTokens({});
    const { nodes } = await control.listNodes({});
    const addresses = nodes.flatMap(({ managerStatus }) => managerStatus?.address || []);
    return { token: tokens?.worker ?? "", managers: addresses };
  });
  const { nodeId } = await swarmd.client.joinCluster({
    managers,
    token,
    advertiseAddress: advertised(host, facts),
    availability: nodeSettings(host).availability,
  });
  return nodeId;
}

export async function changeSettings(link: ManagerLink, file: ClusterFile): Promise<void> {
  await link.ask(async (control) => {
    const { cluster } = await control.getCluster({});
    const version = cluster?.meta?.version;
    if (cluster?.spec === undefined || version === undefined) return;
    const { changed, spec } = settingChanges(file, cluster.spec);
    if (changed.length > 0) await control.updateCluster({ version, spec });
  });
}

export async function configureNode(
  link: ManagerLink,
  nodeId: string,
  host: FileHost,
): Promise<void> {
  await changeNode(link, nodeId, (spec) => {
    const { labels, availability } = nodeSettings(host, spec);
    return {
      ...spec,
      availability,
      // Means something with that availability alone, and is refused with others.
      drainAtOnce: spec.drainAtOnce && availability === NodeAvailability.DRAIN,
      annotations: {
        ...(spec.annotations ?? create(AnnotationsSchema)),
        labels: { ...labels },
      },
    };
  });
}

export async function promoteNode(nodeId: string, ports: ChangePorts): Promise<void> {
  await changeNode(ports.link, nodeId, (spec) => ({ ...spec, desiredRole: NodeRole.MANAGER }));
  const missing = async (control: ControlClient) => {
    const { role, managerStatus } = await readNode(control, nodeId);
    if (role !== NodeRole.MANAGER) return "it is no manager yet";
    const isReached = managerStatus?.reachability === Reachability.REACHABLE;
    return isReached ? undefined : "its manager is not reached yet";
  };
  await waitFor({ kinds: ["node"], missing, limitMs: roleLimitMs }, ports);
}

export async function demoteNode(nodeId: string, ports: ChangePorts): Promise<void> {
  await changeNode(ports.link, nodeId, (spec) => ({ ...spec, desiredRole: NodeRole.WORKER }));
  const missing = async (control: ControlClient) => {
    const { role, managerStatus } = await readNode(control, nodeId);
    const isDone = role === NodeRole.WORKER && managerStatus === undefined;
    return isDone ? undefined : "it is still one of the managers";
  };
  await waitFor({ kinds: ["node"], missing, limitMs: roleLimitMs }, ports);
}

export interface ChangePorts extends WaitPorts {
  readonly onWait: (words: string) => void;
}

/** Until none of its tasks runs there any more. */
export async function drainNode(
  nodeId: string,
  limitMs: number,
  ports: ChangePorts,
): Promise<void> {
  const availability = NodeAvailability.DRAIN;
  await changeNode(ports.link, nodeId, (spec) => ({ ...spec, availability }));
  const missing = async (control: ControlClient) => {
    const { tasks } = await control.listTasks({ nodeRef: nodeId });
    const running = tasks.filter(({ status }) => isPresent(status?.state));
    if (running.length === 0) return undefined;
    const names = running
      .slice(0, 3)
      .map(({ serviceAnnotations, slot, id }) =>
        serviceAnnotations === undefined ? id : `${serviceAnnotations.name}.${slot}`,
      );
    const more = running.length > names.length ? ` and ${running.length - names.length} more` : "";
    return `tasks still run there: ${names.join(", ")}${more}`;
  };
  await waitFor({ kinds: ["node", "task"], missing, onWait: ports.onWait, limitMs }, ports);
}

/** Accepted by the node, and not ended. */
function isPresent(state: TaskState = TaskState.NEW): boolean {
  return state >= TaskState.ACCEPTED && state <= TaskState.RUNNING;
}

/** By force: that the host has left is heard of a moment later, and of one that is off it never is. */
export async function removeNode(nodeId: string, link: ManagerLink): Promise<void> {
  await link.ask(async (control) => {
    try {
      await control.removeNode({ ref: nodeId, force: true });
    } catch (thrown) {
      if (Fault.from(thrown).code !== "not-found") throw thrown;
    }
  });
}

async function changeNode(
  link: ManagerLink,
  nodeId: string,
  change: (spec: NodeSpec) => NodeSpec,
): Promise<void> {
  await link.ask(async (control) => {
    const node = await readNode(control, nodeId);
    const version = node.meta?.version;
    if (version === undefined) throw new Fault("internal", `node ${nodeId} has no version`);
    await control.updateNode({
      ref: nodeId,
      version,
      spec: change(node.spec ?? create(NodeSpecSchema)),
    });
  });
}

async function readNode(control: ControlClient, nodeId: string): Promise<Node> {
  const { node } = await control.getNode({ ref: nodeId });
  if (node === undefined) throw new Fault("internal", `The manager shows no node ${nodeId}`);
  return node;
}
