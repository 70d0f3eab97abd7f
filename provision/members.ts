/**
 * Which node of the cluster each host of the file is, and which nodes are of no host of it. A host's own swarmd says who it is;
 * of a host that does not say it, its addresses do, so that nobody who is only away is taken for one who shall go. Pure.
 */
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ClusterView, Survey, SurveyedHost } from "./survey.ts";

export interface Members {
  /** By the host's name in the file. */
  readonly nodes: ReadonlyMap<string, Node>;
  /** Of the cluster and of no host of the file. */
  readonly leavers: readonly Node[];
  /** Hosts that say nothing and look like no node: while there are any, a leaver may be one of them. */
  readonly unknown: readonly SurveyedHost[];
}

export function membersOf({ hosts, cluster }: Survey): Members {
  const nodes = new Map<string, Node>();
  const unknown: SurveyedHost[] = [];
  if (cluster === undefined) return { nodes, leavers: [], unknown };
  for (const { host, node } of hosts) {
    const own = node?.clusterId === cluster.id ? nodeById(cluster, node.nodeId) : undefined;
    if (own !== undefined) nodes.set(host.name, own);
  }
  for (const surveyed of hosts) {
    if (surveyed.node !== undefined || isBlank(surveyed)) continue;
    const taken = new Set(nodes.values());
    const node = cluster.nodes.find((one) => !taken.has(one) && looksLike(one, surveyed));
    if (node !== undefined) nodes.set(surveyed.host.name, node);
    else unknown.push(surveyed);
  }
  const known = new Set(nodes.values());
  return { nodes, leavers: cluster.nodes.filter((node) => !known.has(node)), unknown };
}

function nodeById({ nodes }: ClusterView, id: string): Node | undefined {
  return nodes.find((node) => node.id === id);
}

/** Whether nothing of ours is there, so that it is no node for certain. */
function isBlank({ report, hasData }: SurveyedHost): boolean {
  return report !== undefined && hasData !== true;
}

function looksLike(node: Node, { host, report }: SurveyedHost): boolean {
  const own = (report?.facts.interfaces ?? [])
    .filter(({ name }) => name === report?.facts.defaultInterface || name === host.interface)
    .map(({ address }) => address.replace(/\/.*$/, ""));
  const addresses = new Set([host.address, ...own]);
  return (
    addressesOf(node).some((address) => addresses.has(address)) || hostnameOf(node) === host.name
  );
}

/** Where others reach it: not all that it has, of which some are the same on every host. */
function addressesOf({ status, description, managerStatus }: Node): string[] {
  const manager = managerStatus?.address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return [status?.address, description?.dataPathAddress, manager].flatMap((one) => one || []);
}

/** Where to reach a node that the file does not name. */
export function addressOf(node: Node): string | undefined {
  return addressesOf(node)[0];
}

export function hostnameOf({ id, description }: Node): string {
  return description?.hostname || id;
}

export function isManagerNode({ role, spec }: Node): boolean {
  return role === NodeRole.MANAGER || spec?.desiredRole === NodeRole.MANAGER;
}

export interface Voter {
  readonly id: string;
  readonly isReachable: boolean;
  readonly isLeader: boolean;
}

/** The servers whose majority decides. */
export function votersOf(nodes: readonly Node[]): Voter[] {
  return nodes.flatMap(({ id, managerStatus }) => {
    if (managerStatus === undefined || managerStatus.raftId === 0n) return [];
    const { leader, reachability } = managerStatus;
    return { id, isLeader: leader, isReachable: leader || reachability === Reachability.REACHABLE };
  });
}

export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}
