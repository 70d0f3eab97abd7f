/** What of a cluster's health needs its operator, and with which command it is mended. Pure. */
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { parseCertificate, validityOf } from "#proto/tls/certificate.ts";
import { formatSpan } from "../../output/age.ts";
import { formatSize } from "../../output/size.ts";
import { progressLines } from "../root-rotation.ts";
import type { Health, Host, HostState } from "./read-health.ts";

export interface Problem {
  /** The host that has it; undefined: the cluster. */
  readonly host?: string;
  readonly problem: string;
  /** What to do, with the command where there is one. */
  readonly mend: string;
}

export interface Verdict {
  readonly problems: readonly Problem[];
  /** What may stay as it is. */
  readonly notes: readonly string[];
}

const dayMs = 24 * 3_600_000;

/** Certificates are renewed when 20 % of their life are left, at the latest; a little later something is wrong. */
const certificateShareMin = 0.15;
/** Nodes' certificates end with the root's, and a rotation waits for every node. */
const rootLeftMsMin = 180 * dayMs;
/** What logs and schedules bear; certificates bear an hour. */
const clockOffsetMsMax = 5_000;
const diskFreeBytesMin = 1_000_000_000;
const diskFreeShareMin = 0.05;
/** A manager that starts again makes up for the backup that it missed. */
const backupLateMsMax = 15 * 60_000;

export function judge(health: Health): Verdict {
  const problems = [
    ...quorumProblems(health),
    ...rootProblems(health),
    ...health.hosts.flatMap((host) => hostProblems(host, health)),
  ];
  return { problems, notes: [...managerNotes(health), ...clusterNotes(health)] };
}

export interface Managers {
  readonly all: readonly Host[];
  readonly reachable: number;
  readonly quorum: number;
  readonly leader: Host | undefined;
}

export function managersOf({ hosts }: Health): Managers {
  const all = hosts.filter(({ node }) => node.managerStatus !== undefined);
  const reachable = all.filter(
    ({ node }) => node.managerStatus?.reachability === Reachability.REACHABLE,
  ).length;
  const leader = all.find(({ node }) => node.managerStatus?.leader);
  return { all, reachable, quorum: Math.floor(all.length / 2) + 1, leader };
}

function quorumProblems(health: Health): Problem[] {
  const { leaderless, own, nowMs } = health;
  if (leaderless === undefined) return [];
  const { all, quorum } = managersOf(health);
  const needed = all.length === 0 ? "more than half" : `${quorum} of ${all.length}`;
  const where = own === undefined ? "" : ` (${own.managers.join(", ")})`;
  const problems: Problem[] = [
    {
      problem: `The managers have no leader (${leaderless}): nothing can be changed, and what is shown is what one manager knew last`,
      mend: `Start the hosts of the managers${where}, ${needed} are needed; where they are lost for good, on the one that survives: swarmctl cluster init --force-new-cluster`,
    },
  ];
  const endMs = msFromTimestamp(own?.certificateExpiresAt);
  if (endMs !== 0 && endMs <= nowMs) {
    const problem = `The certificate of this host has expired, ${formatSpan(nowMs - endMs)} ago`;
    const mend = 'Look at the clock first; then at "All certificates have expired" in the handbook';
    problems.push({ problem, mend });
  }
  return problems;
}

function rootProblems({ cluster, nowMs }: Health): Problem[] {
  const root = rootEndMs(cluster);
  if (root === undefined || root - nowMs >= rootLeftMsMin) return [];
  const left = root > nowMs ? `ends in ${formatSpan(root - nowMs)}` : "has expired";
  return [{ problem: `The root certificate ${left}`, mend: "swarmctl cluster ca --rotate" }];
}

export function rootEndMs(cluster: Cluster | undefined): number | undefined {
  const pem = Buffer.from(cluster?.rootCa?.caCert ?? []).toString();
  return pem === "" ? undefined : validityOf(parseCertificate(pem)).notAfterMs;
}

function hostProblems(host: Host, health: Health): Problem[] {
  const found = [
    presenceProblem(host, health),
    certificateProblem(host, health.nowMs),
    ...(host.state === undefined ? [] : stateProblems(host.name, host.state)),
    backupProblem(host, health),
  ];
  return found
    .filter((problem) => problem !== undefined)
    .map((problem) => ({ host: host.name, ...problem }));
}

function presenceProblem(host: Host, { hosts, leaderless }: Health): Problem | undefined {
  const { node, name, silence } = host;
  const { managerStatus, status } = node;
  if (status?.state === NodeState.DOWN) {
    // A host that left by force and joined again is there twice.
    const isBack = hosts.some((one) => one.name === name && stateOf(one) === NodeState.READY);
    if (isBack && managerStatus === undefined) {
      return {
        problem: `${name} is ready, and in the list once more, as one that is down`,
        mend: `swarmctl node rm ${node.id}`,
      };
    }
    const lost =
      managerStatus === undefined
        ? `swarmctl node rm ${node.id}`
        : `swarmctl node rm --force ${node.id}, and join another manager`;
    const what = managerStatus === undefined ? "" : ", and its manager with it";
    const why = status.message === "" ? "" : ` (${status.message})`;
    const mend = `Start its host; where it is lost for good: ${lost}`;
    return { problem: `${name} is down${what}${why}`, mend };
  }
  if (status?.state !== NodeState.READY) {
    const mend = `Look at "swarmctl cluster info" there; where it never joined: swarmctl node rm ${node.id}`;
    return { problem: `${name} was let in and has not been seen since`, mend };
  }
  if (leaderless === undefined && managerStatus?.reachability === Reachability.UNREACHABLE) {
    const mend = `On ${name}: swarmctl cluster info`;
    return { problem: `The manager of ${name} cannot be reached`, mend };
  }
  // One of another version has nothing to say of this.
  if (silence === undefined || silence.code === "unimplemented") return undefined;
  // Nobody finds hosts down while there is no leader.
  const mend = `${leaderless === undefined ? "" : "Start its host; where it runs: "}swarmctl system check --mesh`;
  return { problem: `${name} does not answer managers: ${silence.message}`, mend };
}

function stateOf({ node }: Host): NodeState {
  return node.status?.state ?? NodeState.UNKNOWN;
}

function certificateProblem({ node, name }: Host, nowMs: number): Problem | undefined {
  const { notBefore, notAfter } = node.description?.tls ?? {};
  if (notAfter === undefined) return undefined;
  const endMs = msFromTimestamp(notAfter);
  const leftMs = endMs - nowMs;
  if (leftMs <= 0) {
    const problem = `The certificate of ${name} has expired, ${formatSpan(-leftMs)} ago`;
    const mend = `On ${name}: swarmctl cluster leave --force, then join it anew; here: swarmctl node rm ${node.id}`;
    return { problem, mend };
  }
  const lifeMs = endMs - msFromTimestamp(notBefore);
  if (leftMs >= lifeMs * certificateShareMin) return undefined;
  const problem = `The certificate of ${name} ends in ${formatSpan(leftMs)} and is not renewed`;
  return { problem, mend: `On ${name}: journalctl -u swarmd | grep -i certificate` };
}

function stateProblems(name: string, state: HostState): Problem[] {
  const problems: Problem[] = [];
  const { clockOffsetMs, clockErrorMs, diskBytes, diskFreeBytes } = state;
  if (Math.abs(clockOffsetMs) - clockErrorMs > clockOffsetMsMax) {
    const way = clockOffsetMs > 0 ? "ahead of" : "behind";
    const problem = `The clock of ${name} is ${formatSpan(Math.abs(clockOffsetMs))} ${way} the others`;
    problems.push({ problem, mend: `On ${name}: timedatectl set-ntp true` });
  }
  const isShort = diskFreeBytes < Math.max(diskFreeBytesMin, diskBytes * diskFreeShareMin);
  if (isShort && diskBytes > 0) {
    const problem = `The disk of ${name} is nearly full: ${formatSize(diskFreeBytes)} of ${formatSize(diskBytes)} are free`;
    const mend = `swarmctl system prune --all --node ${name}; what takes the room: swarmctl system df --node ${name}`;
    problems.push({ problem, mend });
  }
  return problems;
}

function backupProblem({ node, name }: Host, health: Health): Problem | undefined {
  const { nowMs, cluster } = health;
  const { managerStatus, status } = node;
  const isUp = managerStatus !== undefined && status?.state === NodeState.READY;
  if (cluster?.spec?.backup === undefined || !isUp) return undefined;
  const { backup } = managerStatus;
  if (backup === undefined) {
    const mend = `On ${name}: journalctl -u swarmd | grep -i backup`;
    return { problem: `The manager of ${name} has not said yet how its backups are`, mend };
  }
  if (backup.error !== "") {
    const since = formatSpan(nowMs - msFromTimestamp(backup.failingSince));
    const problem = `${name} writes no backups, for ${since}: ${backup.error}`;
    const mend = `Mend that on ${name}, it is tried again every 5 minutes; or choose another place: swarmctl cluster update --backup-folder DIR`;
    return { problem, mend };
  }
  const lateMs = nowMs - msFromTimestamp(backup.dueAt);
  if (lateMs <= backupLateMsMax) return undefined;
  const problem = `A backup of ${name} was due ${formatSpan(lateMs)} ago`;
  return { problem, mend: `On ${name}: journalctl -u swarmd | grep -i backup` };
}

function managerNotes(health: Health): string[] {
  const { all } = managersOf(health);
  if (all.length % 2 === 0 && all.length > 0) {
    const more = all.length - 1;
    return [`${all.length} managers stand no more losses than ${more}: have an odd number of them`];
  }
  if (all.length > 1 || health.hosts.length < 3) return [];
  return ["The cluster has one manager; three would stand the loss of one: swarmctl node promote"];
}

function clusterNotes({ cluster, hosts }: Health): string[] {
  const notes: string[] = [];
  const versions = versionsOf(hosts);
  if (versions.length > 1) {
    notes.push(`The hosts run several versions, ${versions.join(", ")}: swarmctl cluster upgrade`);
  }
  const { rootCa } = cluster ?? {};
  if (rootCa?.rootRotation !== undefined) {
    const nodes = hosts.map(({ node }) => node);
    const [, ...steps] = progressLines({ rootCa, nodes }).map((line) => line.trim());
    notes.push(`The root certificate is being rotated; ${steps.join("; ")}`);
  }
  if (cluster !== undefined && cluster.spec?.backup === undefined) {
    const command = "swarmctl cluster update --backup-schedule @daily";
    notes.push(`No backups are scheduled: ${command}`);
  }
  return notes;
}

/** In the order of the hosts, each once. */
export function versionsOf(hosts: readonly Host[]): string[] {
  const versions = hosts.map(({ node }) => node.description?.engine?.engineVersion ?? "");
  return [...new Set(versions)].filter((version) => version !== "");
}
