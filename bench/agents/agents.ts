/**
 * The program that plays many nodes at once, run on a virtual host of the LAN. Each joins with its own certificate and runs
 * the agent that swarmd runs, with nothing to program: no network, no DNS, tasks without containers. Its one argument is a JSON object,
 * AgentsJob; on stdout comes a line of JSON, AgentsNews, whenever there is news; ends with its standard input.
 */
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { Agent } from "#agent/agent.ts";
import { describeNode } from "#agent/node-description.ts";
import { Reporter } from "#agent/reporter.ts";
import { Fault } from "#proto/fault.ts";
import { PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { createLog } from "#proto/winston-log.ts";
import { type Admission, joinCluster, newJoinAttempt } from "#swarmd/join-cluster.ts";
import { InstantWorker } from "./instant-worker.ts";

export interface AgentsJob {
  readonly agents: number;
  /** Of the first: others are played by other programs. */
  readonly from?: number;
  /** HOST:PORT. */
  readonly managers: readonly string[];
  readonly token: string;
  /** The host's own. */
  readonly address: string;
}

export interface AgentsNews {
  /** Agents that have a session now. */
  readonly standing: number;
  /** Sessions that were ever opened. */
  readonly opened: number;
  /** Tasks that the agents have now. */
  readonly tasks: number;
}

const newsPeriodMs = 500;
const joinPauseMs = 1_000;
/** A join waits for the managers' disks most of the time. */
const joinsAtOnce = 8;
/** Between the first sessions of two agents. */
const startPauseMs = 20;

const ports: Ports = {
  clock: systemClock,
  random: systemRandom,
  log: createLog({ level: "warn" }),
};

/** On a machine that is busy with other things, a manager may not answer in time. */
async function join({ managers, token, address }: AgentsJob): Promise<Admission> {
  const attempt = await newJoinAttempt(token, ports.random);
  const availability = NodeAvailability.ACTIVE;
  for (;;) {
    try {
      return await joinCluster(
        { managers, attempt, availability, dataPathAddress: address },
        ports,
      );
    } catch (thrown) {
      if (Fault.from(thrown).code !== "deadline-exceeded") throw thrown;
      await ports.clock.sleep(joinPauseMs);
    }
  }
}

interface PlayedAgent {
  readonly agent: Agent;
  readonly worker: InstantWorker;
}

/** `onSession` is told of every session's ID as often as the manager has news. */
function newAgent(
  node: Admission,
  name: string,
  { job, onSession }: { job: AgentsJob; onSession: (sessionId: string) => void },
): PlayedAgent {
  const { nodeId, number, clusterId, tls } = node;
  const { managers, address: dataPathAddress } = job;
  const identity = Promise.resolve(new TlsIdentityHolder(tls));
  const self = create(PeerSchema, { nodeId, number, dataPathAddress });
  const reporter = new Reporter();
  const worker = new InstantWorker({ ...ports, reporter });
  const agent = new Agent(
    { clusterId, identity, managers, self: () => self },
    {
      ...ports,
      describe: (identity) => ({
        ...describeNode({ dataPathAddress, identity }),
        hostname: name,
      }),
      worker,
      reporter,
      usage: { want: () => {}, take: () => [] },
      onNews: ({ sessionId }) => onSession(sessionId),
      network: { apply: async () => {}, repair: async () => {}, localNetworks: () => [] },
      dns: { apply: async () => {} },
      memory: { read: async () => undefined, save: () => {} },
    },
  );
  return { agent, worker };
}

async function joinAll(job: AgentsJob, signal: AbortSignal): Promise<readonly Admission[]> {
  const nodes: Admission[] = [];
  let begun = 0;
  const joinMore = async () => {
    while (begun < job.agents && !signal.aborted) {
      begun += 1;
      nodes.push(await join(job));
    }
  };
  await Promise.all(Array.from({ length: joinsAtOnce }, joinMore));
  return nodes;
}

async function runAgents(job: AgentsJob, signal: AbortSignal): Promise<void> {
  const played: PlayedAgent[] = [];
  const sessions = new Set<string>();
  const onSession = (sessionId: string) => sessions.add(sessionId);
  const running: Promise<void>[] = [];
  let told = "";
  const tell = () => {
    const standing = played.filter(({ agent }) => agent.session.state === "connected").length;
    const tasks = played.reduce((sum, { worker }) => sum + worker.statuses().size, 0);
    const news: AgentsNews = { standing, opened: sessions.size, tasks };
    const line = JSON.stringify(news);
    if (line !== told) process.stdout.write(`${line}\n`);
    told = line;
  };
  const timer = setInterval(tell, newsPeriodMs);
  try {
    // All join before the first session: an event loop that is busy with keys would open none in time.
    const nodes = await joinAll(job, signal);
    for (const [index, node] of nodes.entries()) {
      const name = `agent${(job.from ?? 1) + index}`;
      const one = newAgent(node, name, { job, onSession });
      played.push(one);
      running.push(one.agent.run(signal));
      await ports.clock.sleep(startPauseMs);
    }
    await Promise.all(running);
  } finally {
    clearInterval(timer);
  }
}

const stop = new AbortController();
void once(process.stdin.resume(), "close").then(() => stop.abort());
await runAgents(JSON.parse(process.argv[2] ?? "") as AgentsJob, stop.signal);
process.exit();
