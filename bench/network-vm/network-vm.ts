/**
 * What the data plane does on a kernel that has all parts of it, whatever this machine's has: Debian's, in a virtual machine.
 * Its processor is emulated, so ratios count and speeds do not.
 */
import { runInMachine } from "./machine.ts";
import type { MachineResult } from "./report.ts";

export interface MachineBenchOptions {
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

const program = "bench/network-vm/inside.ts";

/** Rejects where a check in the machine fails. */
export async function benchNetworkMachine(options: MachineBenchOptions): Promise<MachineResult> {
  options.onStep("a virtual machine boots, checks and measures; it takes some minutes");
  const output = await runInMachine({ program, ...options });
  return JSON.parse(output) as MachineResult;
}
