/**
 * The program that plays many nodes at once, run on a virtual host of the LAN. Each joins with its own certificate and runs
 * the agent that swarmd runs, with nothing to program: no network, no DNS, no containers. Its one argument is a JSON object,
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

export interface AgentsJob {
  readonly agents: number;
  /** host:port. */
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
}

const newsPeriodMs = 500;
const joinPauseMs = 1_000;

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

/** `onSession` is told of every session's ID as often as the manager has news. */
function newAgent(
  node: Admission,
  name: string,
  { job, onSession }: { job: AgentsJob; onSession: (sessionId: string) => void },
): Agent {
  const { nodeId, number, clusterId, tls } = node;
  const { managers, address: dataPathAddress } = job;
  const identity = Promise.resolve(new TlsIdentityHolder(tls));
  const self = create(PeerSchema, { nodeId, number, dataPathAddress });
  return new Agent(
    { clusterId, identity, managers, self: () => self },
    {
      ...ports,
      describe: (identity) => ({
        ...describeNode({ dataPathAddress, identity }),
        hostname: name,
      }),
      worker: { assign: () => {}, statuses: () => new Map(), logs: noLogs },
      reporter: new Reporter(),
      usage: { want: () => {}, take: () => [] },
      onNews: ({ sessionId }) => onSession(sessionId),
      network: { apply: async () => {}, repair: async () => {}, localNetworks: () => [] },
      dns: { apply: async () => {} },
      memory: { read: async () => undefined, save: () => {} },
    },
  );
}

async function* noLogs(): AsyncGenerator<never> {}

async function runAgents(job: AgentsJob, signal: AbortSignal): Promise<void> {
  const agents: Agent[] = [];
  const sessions = new Set<string>();
  const onSession = (sessionId: string) => sessions.add(sessionId);
  const running: Promise<void>[] = [];
  let told = "";
  const tell = () => {
    const standing = agents.filter(({ session }) => session.state === "connected").length;
    const news: AgentsNews = { standing, opened: sessions.size };
    const line = JSON.stringify(news);
    if (line !== told) process.stdout.write(`${line}\n`);
    told = line;
  };
  const timer = setInterval(tell, newsPeriodMs);
  try {
    while (agents.length < job.agents && !signal.aborted) {
      const agent = newAgent(await join(job), `agent${agents.length + 1}`, { job, onSession });
      agents.push(agent);
      running.push(agent.run(signal));
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
