/**
 * Many nodes and very many tasks: managers as they are, and agents that speak the real protocol with certificates of their
 * own, but run nothing. What is measured is the managers' part: to make tasks, place them, tell the nodes and take
 * their word, while users go on asking. The agents share the machine's processors with the managers.
 */
import { create, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { formCluster } from "#lab/cluster.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  DispatcherConfigSchema,
  type ServiceSpec,
  ServiceSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { retryConflicts } from "#swarmctl/retry-conflicts.ts";
import { type PlayedAgents, startAgents } from "../agents/agents-host.ts";
import { managerOf } from "../raft/ours-group.ts";
import { readUsage } from "../soak/usage.ts";
import { ApiLoad } from "./api-load.ts";

type ControlClient = Client<typeof ControlService>;

export interface ScaleOptions {
  readonly nodes: number;
  readonly tasks: number;
  readonly services: number;
  readonly managers: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export interface ScaleResult {
  /** From the first service's creation until the nodes have all tasks. */
  readonly scheduledMs: number;
  /** Until users see all of them run. */
  readonly runningMs: number;
  /** Of each call to the control API meanwhile. */
  readonly apiMs: readonly number[];
  /** Of each manager's process, the leader's first, when all run. */
  readonly managerRssMb: readonly number[];
}

/** One program plays so many nodes; with more its event loop would be what is measured. */
const agentsPerProgram = 1_250;
/** Docker's default: with ours, 1 s, thousands of nodes on two processors would do little else than beat. */
const heartbeat = "5s";
const allMs = 1_800_000;
const lookEveryMs = 100;

export async function benchScale(options: ScaleOptions): Promise<ScaleResult> {
  const { signal, onStep, managers } = options;
  await using lab = await Lab.up({
    name: `bench-scale-${process.pid}`,
    managers,
    workers: 1,
    images: [],
    cluster: false,
    ownedByThisProcess: true,
    signal,
    onStep,
  });
  const hosts = lab.hosts.slice(0, managers);
  const [first] = hosts;
  const client = lab.hosts.at(-1);
  if (client === undefined || first === undefined) throw new Fault("internal", "there is no host");
  await formCluster(hosts, { signal, onStep });
  using connection = first.connect("manager");
  const control = connection.service(ControlService);
  await prepare(control);
  await using agents = await joinAgents(client, { hosts, control }, options);
  onStep(`${options.nodes} nodes are there`);
  const times = await deploy(control, agents.programs, options);
  const managerRssMb = hosts.map((host) => rssOf(host));
  return { ...times, managerRssMb };
}

/** Managers' own hosts take no tasks: they would run containers. */
async function prepare(control: ControlClient): Promise<void> {
  const { nodes } = await control.listNodes({});
  for (const { id } of nodes) await retryConflicts(() => drain(control, id));
  const { cluster } = await control.getCluster({});
  if (cluster?.spec === undefined || cluster.meta?.version === undefined) return;
  const dispatcher = create(DispatcherConfigSchema, {
    heartbeatPeriod: fromJson(DurationSchema, heartbeat),
  });
  const spec = { ...cluster.spec, dispatcher };
  await control.updateCluster({ version: cluster.meta.version, spec });
}

async function drain(control: ControlClient, id: string): Promise<void> {
  const { node } = await control.getNode({ ref: id });
  if (node?.spec === undefined || node.meta?.version === undefined) return;
  const spec = { ...node.spec, availability: NodeAvailability.DRAIN };
  await control.updateNode({ ref: id, version: node.meta.version, spec });
}

interface AllAgents extends AsyncDisposable {
  readonly programs: readonly PlayedAgents[];
}

async function joinAgents(
  client: Host,
  { hosts, control }: { readonly hosts: readonly Host[]; readonly control: ControlClient },
  { nodes, signal }: ScaleOptions,
): Promise<AllAgents> {
  await using scope = new AsyncDisposableStack();
  const { tokens } = await control.getJoinTokens({}, { signal });
  const managers = hosts.map(({ address }) => `${address}:2377`);
  const token = tokens?.worker ?? "";
  const programs: PlayedAgents[] = [];
  for (let from = 1; from <= nodes; from += agentsPerProgram) {
    const agents = Math.min(agentsPerProgram, nodes - from + 1);
    const job = { agents, from, managers, token, address: client.address };
    programs.push(scope.use(await startAgents(client, job, signal)));
  }
  const held = scope.move();
  return { programs, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function deploy(
  control: ControlClient,
  programs: readonly PlayedAgents[],
  options: ScaleOptions,
): Promise<Omit<ScaleResult, "managerRssMb">> {
  const { tasks, services, signal, onStep } = options;
  const wait = { timeoutMs: allMs, signal };
  const startMs = performance.now();
  await control.createService({ spec: serviceSpec(1, options) });
  await using load = new ApiLoad(control, "s1");
  for (let number = 2; number <= services; number += 1) {
    await control.createService({ spec: serviceSpec(number, options) });
  }
  const assigned = () => programs.reduce((sum, { news }) => sum + news().tasks, 0);
  await waitFor("the nodes to have all tasks", () => assigned() === tasks, wait);
  const scheduledMs = performance.now() - startMs;
  onStep(`the nodes have all tasks after ${(scheduledMs / 1000).toFixed(1)} s`);
  let askedAtMs = 0;
  await waitFor(
    "all tasks to run",
    async () => {
      if (performance.now() < askedAtMs + lookEveryMs) return false;
      askedAtMs = performance.now();
      return (await runningTasks(control)) === tasks;
    },
    wait,
  );
  const runningMs = performance.now() - startMs;
  return { scheduledMs, runningMs, apiMs: [...load.tookMs] };
}

/** What is left over is the first service's. */
function serviceSpec(number: number, { tasks, services }: ScaleOptions): ServiceSpec {
  const each = Math.floor(tasks / services);
  const replicas = number === 1 ? tasks - each * (services - 1) : each;
  const spec: JsonObject = {
    annotations: { name: `s${number}` },
    replicated: { replicas: String(replicas) },
    task: { container: { image: "played" } },
  };
  return fromJson(ServiceSpecSchema, spec);
}

async function runningTasks(control: ControlClient): Promise<number> {
  const { statuses } = await control.listServices({});
  return statuses.reduce((sum, { runningTasks: running }) => sum + Number(running), 0);
}

function rssOf({ name, swarmd }: Host): number {
  const manager = swarmd.process && managerOf(swarmd.process);
  if (manager === undefined) throw new Fault("failed-precondition", `no manager runs on "${name}"`);
  return readUsage(manager, `the manager of ${name}`).rssMb;
}
