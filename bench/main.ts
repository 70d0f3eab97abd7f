/** The command line of the benchmarks: `npm run -s bench -- cli|deploy|dns|engine|network|network-scale|network-vm|pull|raft|recover|scale|scheduler|soak|spread [OPTIONS]`. */
import { constants } from "node:os";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { Fault } from "#proto/fault.ts";
import { benchCli } from "./cli/cli.ts";
import { benchDeploy } from "./deploy.ts";
import { benchDns } from "./dns/dns.ts";
import { formatDnsReport } from "./dns/report.ts";
import { benchEngine } from "./engine/engine.ts";
import { formatEngineReport } from "./engine/report.ts";
import { Ground } from "./ground.ts";
import { benchNetwork } from "./network/network.ts";
import { formatNetworkReport } from "./network/report.ts";
import { benchNetworkScale, type NetworkScale } from "./network-scale/network-scale.ts";
import { formatNetworkScaleReport } from "./network-scale/report.ts";
import { benchNetworkMachine } from "./network-vm/network-vm.ts";
import { formatMachineReport } from "./network-vm/report.ts";
import { benchPull } from "./pull/pull.ts";
import type { Group } from "./raft/group.ts";
import { RaftGround } from "./raft/ground.ts";
import { benchFailover, benchThroughput } from "./raft/raft.ts";
import { formatRaftReport } from "./raft/report.ts";
import { benchRecover } from "./recover.ts";
import { formatReport } from "./report.ts";
import { formatScaleReport } from "./scale/report.ts";
import { benchScale } from "./scale/scale.ts";
import { formatSchedulerReport } from "./scheduler/report.ts";
import { benchScheduler, type SchedulerSize, type SchedulerTrial } from "./scheduler/scheduler.ts";
import { formatSoakReport } from "./soak/report.ts";
import { benchSoak } from "./soak/soak.ts";
import { formatSpreadReport } from "./spread/report.ts";
import { benchSpread } from "./spread/spread.ts";

const exitFailure = 1;
const exitUsage = 2;

const replicasMax = 500;
const roundsMax = 100;
/** A round takes 50 seconds. */
const networkRoundsMax = 20;
const agentsMax = 1_000;
const minutesMax = 24 * 60;
const warmUpMax = 3_600;
const plannedNodesMax = 100_000;
const plannedTasksMax = 10_000_000;
const scaleNodesMax = 1_000;
const playedNodesMax = 10_000;
const playedTasksMax = 1_000_000;
const playedServicesMax = 1_000;
const playedManagersMax = 7;

interface PeerOption {
  readonly peer: boolean;
}

interface DeployFlags extends PeerOption {
  readonly replicas: number;
  readonly network: boolean;
  readonly rounds: number;
}

interface RoundsFlags extends PeerOption {
  readonly rounds: number;
}

interface RaftFlags extends PeerOption {
  readonly rounds: number;
  readonly kills: number;
}

interface NetworkScaleFlags {
  readonly nodes: number;
}

interface ScaleFlags {
  readonly nodes: number;
  readonly tasks: number;
  readonly services: number;
  readonly managers: number;
}

interface SoakFlags {
  readonly agents: number;
  readonly minutes: number;
  readonly warmUp: number;
}

function program(signal: AbortSignal): Command {
  const bench = new Command("bench")
    .description("Measures the orchestrator on virtual hosts, alone or beside Docker Swarm")
    .exitOverride();
  bench
    .command("deploy")
    .description("How long a service takes to come up and to go")
    .option("--replicas <n>", "tasks of the service", numberUpTo(replicasMax), 50)
    .option("--rounds <n>", "times each side does it; the median counts", numberUpTo(roundsMax), 3)
    .option("--network", "attach the tasks to an overlay network", false)
    .option("--peer", "measure Docker Swarm too, and compare", false)
    .action((flags: DeployFlags) => deploy(flags, signal));
  bench
    .command("engine")
    .description("What starting, removing and restarting containers takes, and what daemons use")
    .option("--rounds <n>", "times each side deploys; the median counts", numberUpTo(roundsMax), 3)
    .option("--peer", "measure Docker Swarm too, and compare", false)
    .action((flags: RoundsFlags) => engine(flags, signal));
  bench
    .command("pull")
    .description("How long a host takes to have an image, from a registry on the LAN")
    .option("--rounds <n>", "times each side pulls; the median counts", numberUpTo(roundsMax), 3)
    .option("--peer", "measure Docker too, and compare", false)
    .action((flags: RoundsFlags) => pull(flags, signal));
  bench
    .command("recover")
    .description("How long the cluster takes to have again what it lost: a container, a host")
    .option("--peer", "measure Docker Swarm too, and compare", false)
    .action((flags: PeerOption) => recover(flags, signal));
  bench
    .command("raft")
    .description(
      "How many small writes three managers make durable, and how long they lack a leader",
    )
    .option("--rounds <n>", "times each number of clients is measured", numberUpTo(roundsMax), 3)
    .option("--kills <n>", "leaders that are killed", numberUpTo(roundsMax), 10)
    .option("--peer", "measure etcd and Docker Swarm too, and compare", false)
    .action((flags: RaftFlags) => raft(flags, signal));
  bench
    .command("scale")
    .description("How long managers take to have very many tasks run on many played nodes")
    .option("--nodes <n>", "nodes", numberUpTo(playedNodesMax), 1_000)
    .option("--tasks <n>", "tasks", numberUpTo(playedTasksMax), 30_000)
    .option("--services <n>", "services that share the tasks", numberUpTo(playedServicesMax), 10)
    .option("--managers <n>", "managers", numberUpTo(playedManagersMax), 3)
    .action((flags: ScaleFlags) => scale(flags, signal));
  addSchedulerBench(bench);
  addCliBench(bench, signal);
  bench
    .command("soak")
    .description("What three managers use while agents hold their sessions and nothing happens")
    .option("--agents <n>", "agents that hold a session", numberUpTo(agentsMax), 100)
    .option("--minutes <n>", "how long it is measured", numberUpTo(minutesMax), 30)
    .option("--warm-up <seconds>", "how long before that", numberUpTo(warmUpMax), 120)
    .action((flags: SoakFlags) => soak(flags, signal));
  bench
    .command("spread")
    .description(
      "How long hosts take to start an image from a slow registry, with layers of each other",
    )
    .action(() => spread(signal));
  addNetworkBenches(bench, signal);
  // Last, for the benchmarks must not inherit it.
  bench
    .allowExcessArguments()
    .action(() => bench.error(`error: name a benchmark: ${names(bench)}`));
  return bench;
}

function addCliBench(bench: Command, signal: AbortSignal): void {
  bench
    .command("cli")
    .description("How long swarmctl takes to list services, from its bundle and from the sources")
    .option("--rounds <n>", "times it is run; the median counts", numberUpTo(roundsMax), 21)
    .option("--peer", "measure Docker's CLI too, and compare", false)
    .action((flags: RoundsFlags) => cli(flags, signal));
}

function addSchedulerBench(bench: Command): void {
  bench
    .command("scheduler")
    .description(
      "How fast the leader's plan places tasks on nodes, and how that grows; in one process",
    )
    .option(
      "--nodes <n>",
      "nodes of the largest of three sizes",
      numberUpTo(plannedNodesMax),
      10_000,
    )
    .option("--tasks <n>", "tasks of the largest", numberUpTo(plannedTasksMax), 1_000_000)
    .action((flags: SchedulerSize) => scheduler(flags));
}

function addNetworkBenches(bench: Command, signal: AbortSignal): void {
  bench
    .command("dns")
    .description(
      "How many questions a host's nameserver answers, how soon, and what that costs the agent",
    )
    .option(
      "--rounds <n>",
      "times each nameserver is asked; the median counts",
      numberUpTo(roundsMax),
      3,
    )
    .option("--peer", "ask dnsmasq too, and compare", false)
    .action((flags: RoundsFlags) => dns(flags, signal));
  bench
    .command("network")
    .description(
      "What the data plane carries beside a bridge and VXLAN per network, what changes cost and how soon they are known",
    )
    .option("--rounds <n>", "times each way is measured", numberUpTo(networkRoundsMax), 3)
    .option("--peer", "measure Docker's overlay too, and compare", false)
    .action((flags: RoundsFlags) => network(flags, signal));
  bench
    .command("network-scale")
    .description("What managers send to the nodes of one network of 100, 300 and so many nodes")
    .option("--nodes <n>", "nodes at most, ten tasks each", numberUpTo(scaleNodesMax), 1_000)
    .action((flags: NetworkScaleFlags) => networkScale(flags, signal));
  bench
    .command("network-vm")
    .description(
      "The data plane on a kernel of Debian's, emulated: its WireGuard, SCTP, and what a flowtable gives",
    )
    .action(() => networkMachine(signal));
}

function names(bench: Command): string {
  const [last = "", ...others] = bench.commands
    .map((command) => `"${command.name()}"`)
    .toReversed();
  return `${others.toReversed().join(", ")} or ${last}`;
}

async function cli({ rounds, peer }: RoundsFlags, signal: AbortSignal): Promise<void> {
  const metrics = await benchCli({ rounds, peer, signal, onStep });
  process.stdout.write(formatReport({ bench: "cli", rounds }, metrics));
}

async function deploy(flags: DeployFlags, signal: AbortSignal): Promise<void> {
  await using ground = await Ground.up({ peer: flags.peer, signal, onStep });
  const metrics = await benchDeploy(ground, { ...flags, signal, onStep });
  const { replicas, network } = flags;
  process.stdout.write(formatReport({ bench: "deploy", replicas, network }, metrics));
}

async function dns({ peer, rounds }: RoundsFlags, signal: AbortSignal): Promise<void> {
  process.stdout.write(formatDnsReport(await benchDns({ peer, rounds, signal, onStep })));
}

async function engine({ peer, rounds }: RoundsFlags, signal: AbortSignal): Promise<void> {
  await using ground = await Ground.up({ peer, signal, onStep });
  process.stdout.write(formatEngineReport(await benchEngine(ground, { rounds, signal, onStep })));
}

async function network({ peer, rounds }: RoundsFlags, signal: AbortSignal): Promise<void> {
  process.stdout.write(formatNetworkReport(await benchNetwork({ rounds, peer, signal, onStep })));
}

async function networkScale(flags: NetworkScaleFlags, signal: AbortSignal): Promise<void> {
  const scales: NetworkScale[] = [];
  const sizes = [100, 300].filter((nodes) => nodes < flags.nodes);
  for (const nodes of [...sizes, flags.nodes]) {
    onStep(`${nodes} nodes`);
    scales.push(await benchNetworkScale({ nodes, signal }));
  }
  process.stdout.write(formatNetworkScaleReport(scales));
}

async function networkMachine(signal: AbortSignal): Promise<void> {
  process.stdout.write(formatMachineReport(await benchNetworkMachine({ signal, onStep })));
}

async function pull({ peer, rounds }: RoundsFlags, signal: AbortSignal): Promise<void> {
  await using ground = await Ground.up({ peer, signal, onStep });
  const metrics = await benchPull(ground, { rounds, signal, onStep });
  process.stdout.write(formatReport({ bench: "pull" }, metrics));
}

async function recover(flags: PeerOption, signal: AbortSignal): Promise<void> {
  await using ground = await Ground.up({ peer: flags.peer, signal, onStep });
  const metrics = await benchRecover(ground, { signal, onStep });
  process.stdout.write(formatReport({ bench: "recover" }, metrics));
}

async function raft(flags: RaftFlags, signal: AbortSignal): Promise<void> {
  await using ground = await RaftGround.up({ peer: flags.peer, signal, onStep });
  const options = { ...flags, signal, onStep };
  const samples = await benchThroughput(ground.loadGroups, ground.client, options);
  const failovers = new Map<Group["name"], readonly number[]>();
  for (const group of [...ground.loadGroups, ...ground.otherGroups]) {
    failovers.set(group.name, await benchFailover(group, options));
  }
  process.stdout.write(formatRaftReport(samples, failovers));
}

async function scale(flags: ScaleFlags, signal: AbortSignal): Promise<void> {
  const result = await benchScale({ ...flags, signal, onStep });
  const { nodes, tasks, services, managers } = flags;
  process.stdout.write(formatScaleReport({ nodes, tasks, services, managers }, result));
}

async function scheduler(flags: SchedulerSize): Promise<void> {
  const trials: SchedulerTrial[] = [];
  for await (const trial of benchScheduler(flags)) {
    onStep(`${trial.nodes} nodes, ${trial.tasks} tasks`);
    trials.push(trial);
  }
  process.stdout.write(formatSchedulerReport(trials));
}

async function soak(flags: SoakFlags, signal: AbortSignal): Promise<void> {
  const { agents, minutes } = flags;
  const result = await benchSoak({ ...flags, signal, onStep });
  process.stdout.write(formatSoakReport({ agents, minutes }, result));
}

async function spread(signal: AbortSignal): Promise<void> {
  process.stdout.write(formatSpreadReport(await benchSpread({ signal, onStep })));
}

function onStep(step: string): void {
  process.stderr.write(`${step}\n`);
}

function numberUpTo(max: number): (text: string) => number {
  return (text) => {
    const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
    if (number >= 1 && number <= max) return number;
    throw new InvalidArgumentError(`Write a whole number from 1 to ${max}.`);
  };
}

function sentenceOf(thrown: unknown): string {
  if (thrown instanceof SuppressedError) {
    return `${sentenceOf(thrown.suppressed)}; cleaning up failed too: ${sentenceOf(thrown.error)}`;
  }
  const { message, code } = Fault.from(thrown);
  return code === "canceled" && interrupted.signal.aborted ? "interrupted" : message;
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interrupted.abort(new Fault("canceled", "interrupted")));
}
try {
  await program(interrupted.signal).parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // Commander has said what is wrong; --help is no error.
    process.exitCode = thrown.exitCode === 0 ? 0 : exitUsage;
  } else {
    process.stderr.write(`${sentenceOf(thrown)}\n`);
    process.exitCode = interrupted.signal.aborted ? 128 + constants.signals.SIGINT : exitFailure;
  }
}
