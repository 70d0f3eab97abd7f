/** Forgets the flows of addresses that are gone, so that the next owner of an address does not inherit them. */
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";

export interface ConntrackModules {
  readonly exec: Exec;
  readonly log: Log;
}

/** Best effort: flows die by themselves, and a host may go without the tool. */
export async function forgetFlows(
  addresses: readonly string[],
  { exec, log }: ConntrackModules,
): Promise<void> {
  if (addresses.length === 0) return;
  const lines = addresses.flatMap((address) => [`-D -s ${address}`, `-D -r ${address}`]);
  try {
    await exec.run("conntrack", ["--load-file", "-"], { input: `${lines.join("\n")}\n` });
  } catch (error) {
    log.debug("flows were not forgotten", { addresses, reason: Fault.from(error).message });
  }
}
