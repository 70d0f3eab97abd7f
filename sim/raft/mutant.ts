/** A copy of the core with one thing wrong in it, to see whether anybody notices. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Durable, Options } from "#manager/raft/contract.ts";
import type { Core, MakeCore } from "./core.ts";
import type { Mutation } from "./mutations.ts";
import { runSeed } from "./simulation.ts";
import { checkNames } from "./violation.ts";

/** A mutation that so many seeds do not find is not found. */
const seedsMax = 2000;

const checkWidth = Math.max(...checkNames.map(({ length }) => length));

interface Caught {
  readonly mutation: Mutation;
  /** How many seeds it took; undefined: it got through. */
  readonly seeds: number | undefined;
  readonly check: string | undefined;
}

interface CoreModule {
  readonly Raft: new (options: Options, durable: Durable, nowMs: number) => Core;
}

export async function hunt(mutation: Mutation): Promise<Caught> {
  const folder = mkdtempSync(join(tmpdir(), "raft-mutant-"));
  try {
    const makeCore = await loadMutant(mutation, folder);
    for (let seed = 1; seed <= seedsMax; seed += 1) {
      const { failure } = runSeed(seed, { makeCore, traceLines: 1 });
      if (failure !== undefined) return { mutation, seeds: seed, check: failure.violation.check };
    }
    return { mutation, seeds: undefined, check: undefined };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function loadMutant(mutation: Mutation, folder: string): Promise<MakeCore> {
  const source = dirname(fileURLToPath(import.meta.resolve("#manager/raft/raft.ts")));
  for (const name of readdirSync(source)) {
    if (name.endsWith(".ts")) cpSync(join(source, name), join(folder, name));
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const file = join(folder, mutation.file);
  writeFileSync(file, mutate(readFileSync(file, "utf8"), mutation));
  const { href } = pathToFileURL(join(folder, "raft.ts"));
  const { Raft } = (await import(href)) as CoreModule;
  return (options, durable, nowMs) => new Raft(options, durable, nowMs);
}

/** The text must be there once: else the core changed, and the mutation has to be thought over. */
export function mutate(source: string, { file, find, replace, name }: Mutation): string {
  const parts = source.split(find);
  const [before, after] = parts;
  if (parts.length !== 2 || before === undefined || after === undefined) {
    throw new Error(`Mutation "${name}": found ${parts.length - 1} times in ${file}: ${find}`);
  }
  return `${before}${replace}${after}`;
}

export function formatCaught({ mutation, seeds, check }: Caught): string {
  return seeds === undefined
    ? `not caught in ${seedsMax} seeds: ${mutation.name}`
    : `${String(seeds).padStart(5)}  ${check?.padEnd(checkWidth)}  ${mutation.name}`;
}
