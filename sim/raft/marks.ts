/** What a run went through, counted: a simulation in which nothing goes wrong proves nothing. */
export const markNames = [
  // What goes wrong.
  "crashes",
  "unsynced writes lost",
  "torn tails",
  "messages lost",
  "messages duplicated",
  "messages overtaken",
  "halves cut apart",
  "servers cut off",
  "leaders cut off",
  "one-way cuts",
  "bridges between two sides",
  "pauses",
  "slow disks",
  "broken connections told",
  "broken connections told wrongly",
  "step-downs",
  "bursts of writes",
  "operations without an answer",
  // What the core does about it.
  "elections",
  "leaders replaced",
  "restarts",
  "conflicts overwritten",
  "snapshots taken",
  "snapshot chunks sent",
  "snapshots installed",
  "snapshots gone while sent",
  "learners added",
  "learners promoted",
  "voters removed",
  "leaders removed",
  "changes refused",
  "changes undone by another leader",
  "transfers asked for",
  "leaders by transfer",
  "reads at the leader",
  "reads through another",
  "reads refused",
  "writes at the leader",
  "writes through another",
  "writes refused",
  "writes lost to another leader",
  "recoveries",
] as const;

type MarkName = (typeof markNames)[number];

export class Marks {
  readonly #counts = new Map<MarkName, number>();

  add(name: MarkName, count = 1): void {
    this.#counts.set(name, this.count(name) + count);
  }

  count(name: MarkName): number {
    return this.#counts.get(name) ?? 0;
  }

  addAll(others: Marks): void {
    for (const [name, count] of others.#counts) this.add(name, count);
  }
}
