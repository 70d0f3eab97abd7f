/**
 * A survey and packages of another version → in which order hosts get it: managers one by one, the leader last, then all others,
 * some at a time. Hosts that have it are left out, so that the same command goes on where one was broken off. Pure.
 */
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";
import { hostnameOf, majorityOf, votersOf } from "./members.ts";
import { type PackageFile, type Packages, versionOf } from "./package-file.ts";
import { formatSshAddress } from "./ssh/ssh-address.ts";
import type { Survey, SurveyedHost } from "./survey.ts";
import { compareVersions } from "./version-order.ts";

export interface UpgradeWish {
  readonly packages: Packages;
  /** Bytes of the largest of them. */
  readonly packageBytes: number;
  /** How many workers at a time. */
  readonly parallel: number;
  readonly allowDowngrade: boolean;
}

export interface UpgradeTarget {
  /** Of the host, as the file calls it. */
  readonly name: string;
  readonly nodeId: string;
  readonly isManager: boolean;
  readonly isLeader: boolean;
  /** What it has now. */
  readonly from: string;
  readonly file: PackageFile;
}

export interface UpgradePlan {
  readonly version: string;
  /** One after the other; the hosts of one at the same time. */
  readonly steps: readonly (readonly UpgradeTarget[])[];
  /** Hosts that have the version already. */
  readonly done: readonly string[];
  readonly warnings: readonly string[];
  /** What stands in the way, with its host where it is one's; nothing may be changed while there is any. */
  readonly problems: readonly UpgradeProblem[];
}

export interface UpgradeProblem {
  readonly host: string;
  readonly text: string;
}

/** A package is copied and unpacked before it takes the old one's place. */
const roomFactor = 5;

export function planUpgrade(survey: Survey, wish: UpgradeWish): UpgradePlan {
  const version = versionOf(wish.packages) ?? "";
  const nodes = new Map((survey.cluster?.nodes ?? []).map((node) => [node.id, node]));
  const problems: UpgradeProblem[] = [];
  const done: string[] = [];
  const targets: UpgradeTarget[] = [];
  for (const surveyed of survey.hosts) {
    const { name } = surveyed.host;
    const node = nodes.get(surveyed.node?.nodeId ?? "");
    const found = problemsOf(surveyed, node, { survey, wish, version });
    problems.push(...found.map((text) => ({ host: name, text })));
    if (node === undefined || found.length > 0) continue;
    if (hasVersion(surveyed, version)) done.push(name);
    else targets.push(targetOf(surveyed, node, wish.packages));
  }
  if (survey.clusterFault !== undefined) {
    problems.unshift({ host: "", text: survey.clusterFault.message });
  }
  const managers = targets.filter(({ isManager }) => isManager);
  const followersFirst = managers.toSorted((a, b) => Number(a.isLeader) - Number(b.isLeader));
  const workers = targets.filter(({ isManager }) => !isManager);
  return {
    version,
    steps: [...followersFirst.map((one) => [one]), ...inGroups(workers, wish.parallel)],
    done,
    warnings: warningsOf(survey, managers.length > 0),
    problems,
  };
}

/** Why this manager may not be restarted now; undefined: the others go on without it. */
export function quorumProblem(nodes: readonly Node[], nodeId: string): string | undefined {
  const voters = votersOf(nodes);
  const needed = majorityOf(voters.length);
  const left = voters.filter(({ id, isReachable }) => isReachable && id !== nodeId).length;
  // Of one or two managers none can be missed: that is known, and said beforehand.
  if (left >= needed || (voters.length < 3 && voters.every(({ isReachable }) => isReachable))) {
    return undefined;
  }
  const lost = new Set(voters.flatMap(({ id, isReachable }) => (isReachable ? [] : [id])));
  const names = nodes.filter(({ id }) => lost.has(id)).map(hostnameOf);
  const which = names.length === 0 ? "" : `; ${names.join(", ")} cannot be reached now`;
  return `without it ${left} of ${voters.length} managers could be reached, and ${needed} are needed${which}`;
}

interface Given {
  readonly survey: Survey;
  readonly wish: UpgradeWish;
  readonly version: string;
}

function problemsOf(
  { fault, report, node: own, host }: SurveyedHost,
  node: Node | undefined,
  { survey, wish, version }: Given,
): readonly string[] {
  if (fault !== undefined) return [fault.message];
  if (report === undefined) return ["it was not looked at"];
  const problems: string[] = [];
  const { arch, diskFreeBytes, installedVersion } = report.facts;
  const known = Object.keys(wish.packages).join(" and ");
  if (arch === "other") problems.push("there are no packages for its processor");
  else if (wish.packages[arch] === undefined) {
    problems.push(`it is ${arch}, and there are packages for ${known} alone: add that for ${arch}`);
  }
  const needed = wish.packageBytes * roomFactor;
  if (diskFreeBytes < needed) {
    problems.push(`its disk has ${mb(diskFreeBytes)} MB left, and ${mb(needed)} MB are needed`);
  }
  if (own === undefined || own.nodeId === "") {
    problems.push(
      installedVersion === undefined
        ? "it has no swarm installed: run swarmctl cluster apply first"
        : "its swarmd is in no cluster, or does not answer: run swarmctl cluster apply first",
    );
  } else if (survey.cluster !== undefined && own.clusterId !== survey.cluster.id) {
    problems.push("it is in another cluster than the others of the file");
  } else problems.push(...nodeProblems(node, { isLocked: own.isLocked, host }));
  const present = installedVersion ?? own?.version;
  if (present !== undefined) problems.push(...versionProblems(present, version, wish));
  const missing = report.checks.filter(({ result }) => result === "missing");
  problems.push(
    ...missing.map(({ name, detail, how }) => `${name}: ${detail}${how && ` (${how})`}`),
  );
  return problems;
}

function nodeProblems(
  node: Node | undefined,
  { isLocked, host }: { readonly isLocked: boolean; readonly host: FileHost },
): readonly string[] {
  if (isLocked) {
    const sshAddress = formatSshAddress({ address: host.address, settings: host.ssh });
    return [`its manager is locked: run swarmctl --host ${sshAddress} cluster unlock`];
  }
  if (node === undefined) return ["the cluster does not know it any more"];
  if (node.status?.state !== NodeState.READY) {
    return [`its node is not ready: ${node.status?.message || "nothing was heard of it lately"}`];
  }
  return [];
}

function versionProblems(
  present: string,
  version: string,
  { allowDowngrade }: UpgradeWish,
): readonly string[] {
  if (compareVersions(present, version) > 0 && !allowDowngrade) {
    return [
      `it has ${present}, and the package is ${version}, which is older: take a newer one, or go back with --allow-downgrade`,
    ];
  }
  return areNeighbours(present, version)
    ? []
    : [
        `it has ${present}, and ${version} is not a neighbour of that: only neighbouring minor versions work together, so go through those between`,
      ];
}

/** What the promise in docs/upgrades.md is about. */
export function areNeighbours(a: string, b: string): boolean {
  const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [numbersOf(a), numbersOf(b)];
  if (majorA === majorB) return Math.abs(minorA - minorB) <= 1;
  const [older, newer] = majorA < majorB ? [majorA, b] : [majorB, a];
  return numbersOf(newer)[0] === older + 1 && numbersOf(newer)[1] === 0;
}

function numbersOf(version: string): readonly number[] {
  return version
    .replace(/[-+].*$/, "")
    .split(".")
    .map(Number);
}

function hasVersion({ report, node }: SurveyedHost, version: string): boolean {
  return report?.facts.installedVersion === version && node?.version === version;
}

function targetOf(surveyed: SurveyedHost, node: Node, packages: Packages): UpgradeTarget {
  const arch = surveyed.report?.facts.arch;
  const file = arch === undefined || arch === "other" ? undefined : packages[arch];
  // A host without a package of its own is a problem, and none of the plan's targets.
  if (file === undefined) throw new TypeError(`no package for ${surveyed.host.name}`);
  return {
    name: surveyed.host.name,
    nodeId: node.id,
    isManager: node.managerStatus !== undefined,
    isLeader: node.managerStatus?.leader === true,
    from: surveyed.node?.version ?? "",
    file,
  };
}

function inGroups<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, at) => items.slice(at * size, (at + 1) * size));
}

function warningsOf({ hosts, cluster }: Survey, anyManager: boolean): readonly string[] {
  const nodes = cluster?.nodes ?? [];
  const ids = new Set(hosts.map(({ node }) => node?.nodeId));
  const others = nodes.filter(({ id }) => !ids.has(id)).map(hostnameOf);
  const managers = nodes.filter(({ managerStatus }) => managerStatus !== undefined).length;
  const warnings: string[] = [];
  if (others.length > 0) {
    warnings.push(`not in the file, and left as they are: ${others.join(", ")}`);
  }
  if (anyManager && managers < 3) {
    const count = managers === 1 ? "one manager" : `${managers} managers`;
    warnings.push(`with ${count} nothing can be changed while one is restarted; containers run on`);
  }
  return warnings;
}

function mb(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
