/** Runs check-host on this host, and adds to its lines what only the running network knows. */
import type { Exec } from "#agent/exec.ts";
import { checkHostArgs } from "#proto/check-host.ts";
import { Fault } from "#proto/fault.ts";
import type { NetworkDriver } from "../network/network-driver.ts";

export interface CheckOptions {
  readonly dataRoot: string;
  /** HOST:PORT. */
  readonly engineAddress: string;
}

export interface CheckModules {
  readonly exec: Exec;
  readonly network: Pick<NetworkDriver, "state" | "status">;
}

/** Programs that hang have a few seconds each. */
const timeoutMs = 60_000;

/** Lines as package/check-host.sh prints them. */
export async function checkHost(options: CheckOptions, modules: CheckModules): Promise<string> {
  const { exec, network } = modules;
  const flags = ["--data-root", options.dataRoot, ...portFlags(options, network)];
  try {
    const { stdout } = await exec.run("sh", checkHostArgs(flags), { timeoutMs });
    return stdout + networkLines(network);
  } catch (thrown) {
    throw Fault.wrap("Cannot check this host", thrown);
  }
}

function portFlags(
  { engineAddress }: CheckOptions,
  { state }: CheckModules["network"],
): readonly string[] {
  const enginePort = /:(\d+)$/.exec(engineAddress)?.[1];
  const dataPathPort = state?.dataPathPort || undefined;
  return [
    ...(enginePort === undefined ? [] : ["--engine-port", enginePort]),
    ...(dataPathPort === undefined ? [] : ["--data-path-port", String(dataPathPort)]),
  ];
}

function networkLines(network: CheckModules["network"]): string {
  const { obstacles, refusals } = network.status();
  const lines = [
    ...obstacles.map((text) => ["firewall", "warning", ...inTwo(text)]),
    ...refusals.map((text) => ["networks", "warning", ...inTwo(text)]),
  ];
  return lines.map((line) => `check\t${line.map(oneLine).join("\t")}\n`).join("");
}

/** "What is wrong: what to do". */
function inTwo(text: string): readonly string[] {
  const [what = "", ...how] = text.split(": ");
  return [what, how.join(": ")];
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
