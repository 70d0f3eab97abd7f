/** What the virtual machine found, and how it is printed: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import { median } from "../samples.ts";

/** Bits per second of one TCP stream across hosts, one after the other. */
export interface MachineRound {
  readonly plainBits: number;
  readonly encryptedBits: number;
  /** Plain, with a flowtable on both hosts. */
  readonly offloadedBits: number;
}

/** That there is a result says that all checks passed. */
export interface MachineResult {
  readonly kernel: string;
  readonly rounds: readonly MachineRound[];
}

export function formatMachineReport({ kernel, rounds }: MachineResult): string {
  const row = (what: string, bitsOf: (round: MachineRound) => number) => {
    const ratios = rounds.map((round) => bitsOf(round) / round.plainBits);
    return [what, median(ratios).toFixed(2), ratios.map((it) => it.toFixed(2)).join(" ")];
  };
  const rows = [
    row("encrypted by the kernel", ({ encryptedBits }) => encryptedBits),
    row("plain, with a flowtable", ({ offloadedBits }) => offloadedBits),
  ];
  const table = formatTable(["ONE TCP STREAM ACROSS HOSTS", "OF PLAIN", "EACH ROUND"], rows);
  const line = {
    bench: "network-vm",
    kernel,
    encrypted_ratio: ratioOf(rounds, ({ encryptedBits }) => encryptedBits),
    flowtable_ratio: ratioOf(rounds, ({ offloadedBits }) => offloadedBits),
  };
  return `${table}\n${JSON.stringify(line)}\n`;
}

function ratioOf(rounds: readonly MachineRound[], bitsOf: (round: MachineRound) => number): number {
  const ratio = median(rounds.map((round) => bitsOf(round) / round.plainBits));
  return Math.round(ratio * 1_000) / 1_000;
}
