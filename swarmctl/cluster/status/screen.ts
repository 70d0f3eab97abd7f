/** A cluster's health for people: what holds for all, a line for each host, and what to do. */
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { availabilityWord, managerWord, stateWord } from "../../node/words.ts";
import { formatAgo, formatSpan } from "../../output/age.ts";
import { formatSize } from "../../output/size.ts";
import { formatTable } from "../../output/table.ts";
import { managersOf, rootEndMs, type Verdict, versionsOf } from "./problems.ts";
import type { Health, Host } from "./read-health.ts";

/** What fits on a screen; of more, those that are managers or have problems. */
const hostsMax = 20;

export function screenOf(health: Health, verdict: Verdict, { all }: { readonly all: boolean }) {
  const shown = all ? health.hosts : worthShowing(health, verdict);
  const left = health.hosts.length - shown.length;
  return [
    ...headLines(health, verdict),
    ...(shown.length === 0 ? [] : ["", tableOf(shown, health)]),
    ...(left === 0 ? [] : [`… and ${left} hosts more, all well: --all shows them`]),
    ...verdict.problems.flatMap(({ problem, mend }) => ["", problem, `  ${mend}`]),
    ...(verdict.notes.length === 0 ? [] : ["", ...verdict.notes.map((note) => `Note: ${note}`)]),
  ].join("\n");
}

function tableOf(hosts: readonly Host[], health: Health): string {
  const titles = columns.map(([title]) => title);
  const rows = hosts.map((host) => columns.map(([, cell]) => cell(host, health)));
  return formatTable(titles, rows).trimEnd();
}

function worthShowing({ hosts }: Health, { problems }: Verdict): readonly Host[] {
  if (hosts.length <= hostsMax) return hosts;
  const troubled = new Set(problems.map(({ host }) => host));
  return hosts.filter(({ node, name }) => node.managerStatus !== undefined || troubled.has(name));
}

function headLines(health: Health, { problems }: Verdict): string[] {
  const { cluster, hosts, nowMs } = health;
  const { all, reachable, quorum, leader } = managersOf(health);
  const name = cluster?.spec?.annotations?.name ?? "";
  const count = problems.length;
  const state = count === 0 ? "healthy" : `${count} ${count === 1 ? "problem" : "problems"}`;
  const ready = hosts.filter(({ node }) => stateWord(node.status) === "Ready").length;
  const known = health.leaderless === undefined ? `${reachable} reachable` : "reachable: unknown";
  const rootMs = rootEndMs(cluster);
  if (cluster === undefined) return [`Cluster:   ${health.own?.clusterId ?? "unknown"}: ${state}`];
  return [
    `Cluster:   ${name} (${cluster.id}): ${state}`,
    `Managers:  ${all.length}, ${known}; the quorum is ${quorum}; ${leader === undefined ? "no leader" : `${leader.name} leads`}`,
    `Hosts:     ${hosts.length}, ${ready} ready`,
    `Version:   ${versionsOf(hosts).join(", ")}`,
    `Root:      ${rootMs === undefined ? "unknown" : `${formatSpan(rootMs - nowMs)} left`}`,
    `Backups:   ${backupLine(cluster)}`,
  ];
}

function backupLine(cluster: Cluster | undefined): string {
  const backup = cluster?.spec?.backup;
  if (backup === undefined) return "not scheduled";
  return `"${backup.schedule}" (UTC), the last ${backup.keep} of each manager in ${backup.folder}`;
}

type Column = readonly [title: string, cell: (host: Host, health: Health) => string];

const columns: readonly Column[] = [
  ["HOST", ({ name }) => name],
  ["ROLE", ({ node }) => roleOf(node)],
  ["STATUS", ({ node }) => stateWord(node.status)],
  ["AVAILABILITY", ({ node }) => availabilityWord(node.spec?.availability)],
  ["VERSION", ({ node }) => node.description?.engine?.engineVersion ?? ""],
  ["CERTIFICATE", certificateOf],
  ["CLOCK", clockOf],
  ["DISK FREE", diskOf],
  ["LAST BACKUP", backupOf],
];

function roleOf({ managerStatus, role }: Host["node"]): string {
  if (managerStatus === undefined) return role === NodeRole.MANAGER ? "Manager" : "Worker";
  return managerStatus.leader ? "Leader" : `Manager (${managerWord(managerStatus)})`;
}

function certificateOf({ node }: Host, { nowMs }: Health): string {
  const end = node.description?.tls?.notAfter;
  if (end === undefined) return "unknown";
  const leftMs = msFromTimestamp(end) - nowMs;
  return leftMs > 0 ? `${formatSpan(leftMs)} left` : "expired";
}

function clockOf({ state }: Host): string {
  if (state === undefined) return "unknown";
  const { clockOffsetMs, clockErrorMs } = state;
  if (Math.abs(clockOffsetMs) <= Math.max(clockErrorMs, 100)) return "ok";
  const sign = clockOffsetMs > 0 ? "+" : "-";
  return `${sign}${(Math.abs(clockOffsetMs) / 1000).toFixed(1)} s`;
}

function diskOf({ state }: Host): string {
  if (state === undefined || state.diskBytes === 0) return "unknown";
  const { diskBytes, diskFreeBytes } = state;
  return `${formatSize(diskFreeBytes)} (${Math.round((diskFreeBytes / diskBytes) * 100)}%)`;
}

function backupOf({ node }: Host, { nowMs, cluster }: Health): string {
  if (node.managerStatus === undefined || cluster?.spec?.backup === undefined) return "";
  const { backup } = node.managerStatus;
  if (backup?.takenAt === undefined) return backup?.error ? "failed" : "none yet";
  const ago = formatAgo(msFromTimestamp(backup.takenAt), nowMs);
  return backup.error === "" ? ago : `${ago}, now failing`;
}
