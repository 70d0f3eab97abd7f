/** The command line of the simulations: `npm run -s sim -- raft|cluster [OPTIONS]`. */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { Raft } from "#manager/raft/raft.ts";
import { clusterSimulation } from "./cluster/simulation.ts";
import type { MakeCore } from "./raft/core.ts";
import { formatCaught, hunt } from "./raft/mutant.ts";
import { mutations } from "./raft/mutations.ts";
import { raftSimulation } from "./raft/simulation.ts";
import { formatFailure, formatSummary, runSeeds, type Simulation } from "./seeds.ts";

const exitFailure = 1;
const exitUsage = 2;
const progressEvery = 100;

interface SeedFlags {
  readonly seed: number | undefined;
  readonly seeds: number;
  readonly from: number;
}

interface RaftFlags extends SeedFlags {
  readonly mutations: boolean;
}

const makeRaft: MakeCore = (options, durable, nowMs) => new Raft(options, durable, nowMs);

function program(): Command {
  const sim = new Command("sim")
    .description(
      "Runs parts of the manager in a simulated world, where all chance comes from one number",
    )
    .exitOverride();
  sim
    .command("raft")
    .description("The Raft core: servers, network, disks and clients, with everything going wrong")
    .option("--seed <n>", "run this one, and show its end when it fails", wholeNumber)
    .option("--seeds <n>", "how many to run", wholeNumber, 1000)
    .option("--from <n>", "the first one", wholeNumber, 1)
    .option("--mutations", "break the core in many ways instead, and see who notices", false)
    .action(async (flags: RaftFlags) => {
      process.exitCode = flags.mutations
        ? await mutants()
        : await run(raftSimulation(makeRaft), flags);
    });
  sim
    .command("cluster")
    .description("The whole control plane: managers, agents and users, with everything going wrong")
    .option("--seed <n>", "run this one, and show its end when it fails", wholeNumber)
    .option("--seeds <n>", "how many to run", wholeNumber, 500)
    .option("--from <n>", "the first one", wholeNumber, 1)
    .action(async (flags: SeedFlags) => {
      process.exitCode = await run(clusterSimulation, flags);
    });
  return sim;
}

async function run<Name extends string>(
  simulation: Simulation<Name>,
  { seed, seeds, from }: SeedFlags,
): Promise<number> {
  const result = await runSeeds(simulation, {
    from: seed ?? from,
    count: seed === undefined ? seeds : 1,
    onSeed: (done) => {
      if (done % progressEvery === 0) process.stderr.write(`\r${done} of ${seeds} seeds`);
    },
  });
  if (result.seeds >= progressEvery) process.stderr.write("\n");
  const { failed } = result;
  process.stdout.write(
    failed === undefined ? formatSummary(simulation, result) : formatFailure(simulation, failed),
  );
  return failed === undefined ? 0 : exitFailure;
}

async function mutants(): Promise<number> {
  let exitCode = 0;
  for (const mutation of mutations) {
    const caught = await hunt(mutation);
    process.stdout.write(`${formatCaught(caught)}\n`);
    if (caught.seeds === undefined) exitCode = exitFailure;
  }
  return exitCode;
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Write a whole number.");
}

try {
  await program().parseAsync();
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = thrown.exitCode === 0 ? 0 : exitUsage;
}
