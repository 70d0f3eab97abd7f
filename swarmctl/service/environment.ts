/** Environment variables of -e and --env-file. A name without "=" takes its value from swarmctl's own environment. */
import { readFile } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface EnvironmentFlags {
  readonly env?: string[];
  readonly envFile?: string[];
}

/** What files say comes first, so that flags win over it. */
export async function readEnvironment(
  flags: EnvironmentFlags,
  own: Environment,
): Promise<string[]> {
  const values = new Map<string, string>();
  for (const file of flags.envFile ?? []) {
    for (const line of parseEnvironmentFile(await readEnvironmentFile(file), file)) {
      addVariable(values, line, own);
    }
  }
  for (const variable of flags.env ?? []) addVariable(values, variable, own);
  return Array.from(values, ([name, value]) => `${name}=${value}`);
}

export function parseVariable(text: string): string {
  if (text === "" || text.startsWith("=")) throw new Fault("invalid-argument", "Write NAME=value");
  return text;
}

function addVariable(values: Map<string, string>, variable: string, own: Environment): void {
  const at = variable.indexOf("=");
  const name = at < 0 ? variable : variable.slice(0, at);
  const value = at < 0 ? own[name] : variable.slice(at + 1);
  if (value !== undefined) values.set(name, value);
}

async function readEnvironmentFile(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

/** One variable a line; values are taken as they are, quotes included, as Docker takes them. */
export function parseEnvironmentFile(text: string, file: string): string[] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .flatMap((line, index) => {
      const variable = line.trimStart();
      if (variable === "" || variable.startsWith("#")) return [];
      if (/^[^\s=]+(=|$)/.test(variable)) return [variable];
      const name = variable.slice(0, variable.indexOf("=") + 1) || variable;
      throw new Fault("invalid-argument", `${file}:${index + 1}: "${name}" is not NAME=value`);
    });
}
