/**
 * What three managers use while nothing happens: many agents hold their sessions, and nobody asks for anything. Measured
 * from outside, by the kernel's counters of each process.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { formCluster } from "#lab/cluster.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import type { ProcessId } from "#lab/process-id.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { managerOf } from "../raft/ours-group.ts";
import { type PlayedAgents, startAgents } from "../agents/agents-host.ts";
import { type Summary, summarize } from "./summary.ts";
import { readUsage, type Usage } from "./usage.ts";

const managers = 3;
const sampleMs = 1_000;
const windowMs = 60_000;

export interface SoakOptions {
  readonly agents: number;
  readonly minutes: number;
  /** Between the last agent's session and the first sample, in seconds: programs get their memory as they come to use it. */
  readonly warmUp: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export interface SoakResult {
  readonly processes: readonly MeasuredProcess[];
  /** The name of the host that leads at the end. */
  readonly leader: string;
  /** Of each manager, at the end. */
  readonly sessions: readonly number[];
  /** Sessions that had to be opened again, of agents that did nothing for it. */
  readonly openedAgain: number;
}

export interface MeasuredProcess {
  readonly host: string;
  readonly program: "manager" | "swarmd";
  readonly summary: Summary;
}

export async function benchSoak(options: SoakOptions): Promise<SoakResult> {
  const { signal, onStep } = options;
  await using lab = await Lab.up({
    name: `bench-soak-${process.pid}`,
    managers,
    workers: 1,
    images: [],
    cluster: false,
    ownedByThisProcess: true,
    signal,
    onStep,
  });
  const hosts = lab.hosts.slice(0, managers);
  const client = lab.hosts.at(-1);
  if (client === undefined) throw new Fault("internal", "the lab has no host");
  await formCluster(hosts, { signal, onStep });
  using agents = await joinAgents(client, hosts, options);
  onStep(`${options.agents} agents have a session; warming up for ${options.warmUp} s`);
  await sleep(options.warmUp * 1000, undefined, { signal });
  const processes = await measure(hosts, options);
  return { processes, ...(await standingAtEnd(hosts, agents, options)) };
}

async function joinAgents(
  client: Host,
  hosts: readonly Host[],
  { agents, signal }: SoakOptions,
): Promise<PlayedAgents> {
  const [first] = hosts;
  if (first === undefined) throw new Fault("internal", "there is no manager");
  using connection = first.connect("manager");
  const { tokens } = await connection.service(ControlService).getJoinTokens({}, { signal });
  const addresses = hosts.map(({ address }) => `${address}:2377`);
  const token = tokens?.worker ?? "";
  const job = { agents, managers: addresses, token, address: client.address };
  return await startAgents(client, job, signal);
}

interface Watched {
  readonly host: string;
  readonly program: MeasuredProcess["program"];
  readonly id: ProcessId;
  readonly samples: Usage[];
}

async function measure(
  hosts: readonly Host[],
  { minutes, signal, onStep }: SoakOptions,
): Promise<readonly MeasuredProcess[]> {
  const watched = hosts.flatMap(watch);
  const endMs = performance.now() + minutes * windowMs;
  let minuteMs = performance.now() + windowMs;
  for (;;) {
    for (const { host, program, id, samples } of watched) {
      samples.push(readUsage(id, `the ${program} of ${host}`));
    }
    const nowMs = performance.now();
    if (nowMs >= endMs) break;
    if (nowMs >= minuteMs) {
      onStep(`${((endMs - nowMs) / windowMs).toFixed(0)} minutes left: ${lastMinute(watched)}`);
      minuteMs += windowMs;
    }
    await sleep(Math.min(sampleMs, endMs - nowMs), undefined, { signal });
  }
  return watched.map(({ host, program, samples }) => {
    return { host, program, summary: summarize(samples, windowMs) };
  });
}

function watch(host: Host): readonly Watched[] {
  const swarmd = host.swarmd.process;
  const manager = swarmd && managerOf(swarmd);
  if (swarmd === undefined || manager === undefined) {
    throw new Fault("failed-precondition", `no manager runs on "${host.name}"`);
  }
  return [
    { host: host.name, program: "manager", id: manager, samples: [] },
    { host: host.name, program: "swarmd", id: swarmd, samples: [] },
  ];
}

function lastMinute(watched: readonly Watched[]): string {
  const words = watched.map(({ host, program, samples }) => {
    const { cpuPercentEach, rssMbEnd } = summarize(samples, windowMs);
    return `${host} ${program} ${cpuPercentEach.at(-1)?.toFixed(2)} % ${rssMbEnd.toFixed(1)} MB`;
  });
  return words.join(", ");
}

/** The numbers mean nothing where the agents were not there. */
async function standingAtEnd(
  hosts: readonly Host[],
  agents: PlayedAgents,
  options: SoakOptions,
): Promise<Omit<SoakResult, "processes">> {
  const { standing, opened } = agents.news();
  const [first] = hosts;
  if (first === undefined) throw new Fault("internal", "there is no manager");
  using connection = first.connect("manager");
  const { signal } = options;
  const { nodes } = await connection.service(ControlService).listNodes({}, { signal });
  const ready = nodes.filter(({ status }) => status?.state === NodeState.READY);
  if (standing !== options.agents || ready.length !== nodes.length) {
    const counts = `${standing} of ${options.agents} agents have a session, ${ready.length} of ${nodes.length} nodes are ready`;
    throw new Fault("failed-precondition", `not everybody is well in the end: ${counts}`);
  }
  const managerNodes = hosts.map(({ name }) => nodes.find((node) => hostnameOf(node) === name));
  const leader = managerNodes.find((node) => node?.managerStatus?.leader === true);
  return {
    leader: leader === undefined ? "" : hostnameOf(leader),
    sessions: managerNodes.map(
      (manager) => nodes.filter((node) => node.sessionManagerId === manager?.id).length,
    ),
    openedAgain: opened - options.agents,
  };
}

function hostnameOf(node: Node): string {
  return node.description?.hostname ?? "";
}
