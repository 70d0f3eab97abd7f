/**
 * The file and what there is → what there is to do. Installing comes first, for all hosts; then the cluster begins, hosts join
 * as workers side by side, get their labels, and are promoted one by one; what goes goes last. Pure: the same survey gives the
 * same plan, and the plan of a cluster that is as the file says is empty.
 */
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ClusterFile, FileHost } from "./cluster-file/cluster-file.ts";
import { settingChanges } from "./cluster-file/options.ts";
import {
  addressOf,
  hostnameOf,
  isManagerNode,
  type Members,
  membersOf,
  votersOf,
} from "./members.ts";
import type { Packages } from "./package-file.ts";
import { availabilityName, nodeSettings } from "./node-settings.ts";
import { orderDemotions } from "./plan-roles.ts";
import { clusterName, type Leaver, type Phase, type Plan, type Step } from "./steps.ts";
import type { Survey, SurveyedHost } from "./survey.ts";
import { compareVersions } from "./version-order.ts";

export function planApply(file: ClusterFile, survey: Survey, packages: Packages): Plan {
  const reached = survey.hosts.filter(({ report }) => report !== undefined);
  const install = planInstall(reached, packages);
  const members = membersOf(survey);
  const cluster = planCluster(file, { survey, reached, members });
  return {
    ...cluster,
    phases: [...install, ...cluster.phases].filter((steps) => steps.length > 0),
  };
}

/** What makes hosts ready: nothing of it concerns the cluster. When it is done, hosts may say more about themselves. */
export function planInstall(reached: readonly SurveyedHost[], packages: Packages): Phase[] {
  const dependencies = reached.flatMap(({ host, report }): Step[] => {
    const missing = report?.facts.apt ? report.facts.missingPackages : [];
    return missing.length === 0 ? [] : [{ kind: "dependencies", on: host.name, packages: missing }];
  });
  const install = reached.flatMap((surveyed): Step[] => {
    const { host, report, node } = surveyed;
    const file = report?.facts.arch === "other" ? undefined : packages[report?.facts.arch ?? "x64"];
    if (file !== undefined && needsPackage(surveyed, file.version)) {
      return [{ kind: "install", on: host.name, file }];
    }
    return node === undefined ? [{ kind: "start", on: host.name }] : [];
  });
  return [dependencies, install];
}

/** Nodes of a cluster keep their version: changing it is `cluster upgrade`'s, in its order. */
export function needsPackage({ report, node }: SurveyedHost, version: string | undefined): boolean {
  const installed = report?.facts.installedVersion;
  if (installed === undefined) return true;
  if (version === undefined || (node !== undefined && node.nodeId !== "")) return false;
  return compareVersions(installed, version) < 0;
}

interface Given {
  readonly survey: Survey;
  readonly reached: readonly SurveyedHost[];
  readonly members: Members;
}

function planCluster(file: ClusterFile, given: Given): Plan {
  const { survey, reached, members } = given;
  const { cluster } = survey;
  const newcomers = reached.filter(({ host }) => !members.nodes.has(host.name));
  const first = cluster === undefined ? newcomers.find(({ host }) => host.isManager) : undefined;
  const forget = newcomers.filter(({ node }) => node !== undefined && node.nodeId !== "");
  const changed = cluster === undefined ? [] : settingChanges(file, cluster.spec).changed;
  const { leavers, warnings } = planLeavers(members);
  const roles = planRoles(given, { first, leavers });
  const phases: Phase[] = [
    forget.map(({ host }) => ({ kind: "forget", on: host.name })),
    first === undefined ? [] : [{ kind: "init", on: first.host.name }],
    changed.length === 0 ? [] : [{ kind: "settings", on: clusterName, keys: changed }],
    newcomers.filter((one) => one !== first).map(({ host }) => ({ kind: "join", on: host.name })),
    reached.flatMap(({ host }) => planConfigure(host, members.nodes.get(host.name))),
    ...roles.promote.map((on): Phase => [{ kind: "promote", on }]),
    leavers.filter(({ isDown }) => !isDown).map(({ name }) => ({ kind: "drain", on: name })),
    ...roles.demote.map((on): Phase => [{ kind: "demote", on }]),
    leavers.map(({ name, isDown }) => ({ kind: "leave", on: name, isDown })),
  ];
  return { phases, leavers, warnings };
}

/** Labels and availability. Newcomers have their availability from the moment that they join. */
function planConfigure(host: FileHost, node: Node | undefined): Step[] {
  const changes = changesOf(host, node);
  return changes.length === 0 ? [] : [{ kind: "configure", on: host.name, changes }];
}

function changesOf(host: FileHost, node: Node | undefined): string[] {
  const { labels, availability } = nodeSettings(host, node?.spec);
  const before = node?.spec?.annotations?.labels ?? {};
  const isOther = node !== undefined && node.spec?.availability !== availability;
  const set = Object.entries(labels).filter(([key, value]) => before[key] !== value);
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(labels, key));
  return [
    ...set.map(([key, value]) => `label ${key}=${value}`),
    ...gone.map((key) => `no label ${key}`),
    ...(isOther ? [`availability ${availabilityName(availability)}`] : []),
  ];
}

interface Comings {
  readonly first: SurveyedHost | undefined;
  readonly leavers: readonly Leaver[];
}

function planRoles({ survey, reached, members }: Given, { first, leavers }: Comings) {
  const nodes = survey.cluster?.nodes ?? [];
  const hosts = reached.filter((one) => one !== first);
  const promote = hosts
    .filter(({ host }) => host.isManager && !isManagerNow(members.nodes.get(host.name)))
    .map(({ host }) => host.name);
  const stay = hosts.flatMap(({ host: { isManager, name } }) => {
    const node = members.nodes.get(name);
    return node !== undefined && !isManager && isManagerNode(node) ? { name, id: node.id } : [];
  });
  const go = leavers
    .filter(({ nodeId }) => nodes.some((node) => node.id === nodeId && isManagerNode(node)))
    .map(({ name, nodeId }) => ({ name, id: nodeId }));
  const voters = votersOf(nodes);
  return { promote, demote: orderDemotions({ voters, promote, demote: [...stay, ...go] }) };
}

/** Whether nothing of its promotion is left to do. */
function isManagerNow(node: Node | undefined): boolean {
  const { role, spec, managerStatus } = node ?? {};
  const shallBe = spec?.desiredRole === NodeRole.MANAGER;
  return shallBe && role === NodeRole.MANAGER && managerStatus !== undefined;
}

function planLeavers({ leavers, unknown, nodes }: Members): Pick<Plan, "leavers" | "warnings"> {
  if (leavers.length === 0) return { leavers: [], warnings: [] };
  if (unknown.length > 0) {
    const names = leavers.map(hostnameOf).join(", ");
    const hosts = unknown.map(({ host }) => host.name).join(", ");
    const warning = `The file does not name ${names}, which stays all the same: ${hosts} does not say which node it is, and may be it`;
    return { leavers: [], warnings: [warning] };
  }
  return { leavers: leavers.map((node) => leaverOf(node, leavers, nodes)), warnings: [] };
}

function leaverOf(
  node: Node,
  leavers: readonly Node[],
  stayers: ReadonlyMap<string, Node>,
): Leaver {
  const name = hostnameOf(node);
  const others = leavers.filter((one) => one !== node).map(hostnameOf);
  const isTaken = stayers.has(name) || name === clusterName || others.includes(name);
  return {
    name: isTaken ? node.id : name,
    nodeId: node.id,
    address: addressOf(node),
    isDown: node.status?.state !== NodeState.READY,
  };
}
