import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type GetInfoResponse, GetInfoResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { NetworkConfig, SchedulingConfig } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeRole, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { formatSpan } from "../output/age.ts";
import { addInspectFlags, type InspectOptions } from "../output/inspect.ts";
import { messageField, messageValue } from "../output/message-value.ts";
import { strategies } from "./spec-flags.ts";

export function define(command: Command, context: Context): void {
  addInspectFlags(command).action(async ({ format }: InspectOptions) => {
    const info = await (await context.node()).getInfo({});
    if (typeof format === "object") {
      context.print(format.template.run(messageValue(GetInfoResponseSchema, info), messageField));
    } else if (format === "json") {
      context.print(JSON.stringify(toJson(GetInfoResponseSchema, info)));
    } else {
      await describeHost(context, info);
    }
  });
}

/** A line for each thing; on a manager also how the managers are together. */
async function describeHost(context: Context, info: GetInfoResponse): Promise<void> {
  const serves = info.role === NodeRole.MANAGER && !info.locked && info.managerError === "";
  const group = serves ? await readGroup(context) : {};
  const nowMs = context.io.clock.now();
  for (const [name, value] of [...describe(info, nowMs), ...describeGroup(group)]) {
    context.print(`${name}: ${value}`);
  }
}

/** Longer than a change of leader takes. Without a leader the rest is told all the same, and soon. */
const groupMs = 3_000;

interface Group {
  readonly nodes?: readonly Node[];
  readonly cluster?: Cluster;
  /** Why nothing is known. */
  readonly problem?: string;
}

/** How the managers are together; what this host is can be told without. */
async function readGroup(context: Context): Promise<Group> {
  try {
    const control = await context.control();
    const [{ nodes }, { cluster }] = await Promise.all([
      control.listNodes({}, { deadlineMs: groupMs }),
      control.getCluster({}, { deadlineMs: groupMs }),
    ]);
    return { nodes, ...(cluster !== undefined && { cluster }) };
  } catch (thrown) {
    const { code, message } = Fault.from(thrown);
    if (code !== "deadline-exceeded") return { problem: message };
    return { problem: `no leader answers within ${groupMs / 1000} s` };
  }
}

type Line = readonly [string, string];

function describe(info: GetInfoResponse, nowMs: number): Line[] {
  const version: Line = ["Version", info.version];
  if (info.nodeId === "") return [["Swarm", "inactive"], version];
  return [
    ["Swarm", swarmState(info)],
    ["Node ID", info.nodeId],
    ["Cluster ID", info.clusterId],
    ["Role", info.role === NodeRole.MANAGER ? "manager" : "worker"],
    ...managerProblem(info),
    ["Node address", info.nodeAddress],
    ["Manager addresses", info.managers.join(", ")],
    ["Certificate", expiry(msFromTimestamp(info.certificateExpiresAt), nowMs)],
    version,
  ];
}

function swarmState({ locked, connected, error }: GetInfoResponse): string {
  if (locked) return 'locked: run "swarmctl cluster unlock"';
  return connected ? "active" : `active, without a manager (${error || "unknown"})`;
}

/** The host may be a node of the cluster like any other, by the managers of other hosts. */
function managerProblem({ managerError }: GetInfoResponse): Line[] {
  return managerError === "" ? [] : [["Manager", `not running (${managerError})`]];
}

function expiry(atMs: number, nowMs: number): string {
  if (atMs === 0) return "unknown";
  const at = new Date(atMs).toISOString();
  return atMs > nowMs ? `until ${at}, ${formatSpan(atMs - nowMs)} from now` : `expired at ${at}`;
}

function describeGroup({ nodes, cluster, problem }: Group): Line[] {
  if (problem !== undefined) return [["Managers", `unknown (${problem})`]];
  if (nodes === undefined) return [];
  const managers = nodes.flatMap(({ managerStatus }) => managerStatus ?? []);
  const reachable = managers.filter((one) => one.reachability === Reachability.REACHABLE).length;
  const quorum = Math.floor(managers.length / 2) + 1;
  return [
    ["Managers", `${managers.length}, ${reachable} of them reachable; the quorum is ${quorum}`],
    ["Nodes", String(nodes.length)],
    ["Autolock", cluster?.spec?.encryption?.autoLockManagers ? "on" : "off"],
    ...describeScheduling(cluster?.spec?.scheduling),
    ...describeNetwork(cluster?.spec?.network),
  ];
}

function describeScheduling(scheduling: SchedulingConfig | undefined): Line[] {
  if (scheduling === undefined) return [];
  const { strategy, preemption, autoRebalance } = scheduling;
  const word = Object.entries(strategies).find(([, value]) => value === strategy)?.[0] ?? "unknown";
  const more = [
    ...(preemption ? ["with preemption"] : []),
    ...(autoRebalance ? ["rebalancing by itself"] : []),
  ];
  return [["Scheduling", [word, ...more].join(", ")]];
}

/** What was chosen when the cluster was made, for good. */
function describeNetwork(network: NetworkConfig | undefined): Line[] {
  if (network === undefined) return [];
  const pools = network.defaultAddressPools.map((pool) =>
    pool.includes(":") ? pool : `${pool} in /${network.subnetSize}`,
  );
  return [
    ["Address pools", pools.join(", ")],
    // Clusters that are older than the setting do not have it.
    ...(network.dataPathPort === 0 ? [] : [["Data path port", `${network.dataPathPort}`] as const]),
  ];
}
