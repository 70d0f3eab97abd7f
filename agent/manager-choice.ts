/**
 * Which manager a node opens its next session with: any of them at random, so that nodes spread over the managers. Those
 * that failed in this round come after all others, and those that did not even answer come last in the rounds to come, or a
 * node would wait for dead ones while a living one has long got a leader again.
 */
import type { Fault } from "#proto/fault.ts";
import type { Random } from "#proto/ports.ts";

export class ManagerChoice {
  readonly #random: Random;
  #managers: readonly string[];
  #preferred: string | undefined;
  /** Why each manager failed that did in this round. */
  readonly #failures = new Map<string, Fault>();
  /** Did not answer in time when they were last asked. */
  readonly #silent = new Set<string>();

  /** `managers`: host:port. */
  constructor(managers: readonly string[], random: Random) {
    this.#managers = managers;
    this.#random = random;
  }

  get managers(): readonly string[] {
    return this.#managers;
  }

  /** Whether every manager has failed in this round. */
  get exhausted(): boolean {
    return this.#managers.every((manager) => this.#failures.has(manager));
  }

  /**
   * Whether the cluster does not want this node: the leader alone says so for certain, by "permission-denied"; that one
   * manager does not know its certificate's authority may be different with another.
   */
  get refused(): boolean {
    const codes = [...this.#failures.values()].map(({ code }) => code);
    return codes.includes("permission-denied") || codes.every((code) => code === "unauthenticated");
  }

  next(): string {
    const preferred = this.#preferred;
    this.#preferred = undefined;
    if (preferred !== undefined) return preferred;
    const untried = this.#managers.filter((manager) => !this.#failures.has(manager));
    const answering = untried.filter((manager) => !this.#silent.has(manager));
    const candidates = [answering, untried, this.#managers].find(({ length }) => length > 0) ?? [];
    return candidates[this.#random.int(Math.max(candidates.length, 1))] ?? "";
  }

  /** The next one is this one, whatever else is known of it. */
  prefer(manager: string): void {
    this.#preferred = manager;
  }

  fail(manager: string, fault: Fault): void {
    this.#failures.set(manager, fault);
    if (fault.code === "deadline-exceeded") this.#silent.add(manager);
    else this.#silent.delete(manager);
  }

  /** Begins a round: every manager is asked again. */
  forgive(): void {
    this.#failures.clear();
  }

  /** A session stood: what came before it says nothing any more. */
  forget(): void {
    this.forgive();
    this.#silent.clear();
  }

  /**
   * Takes over the newest list. Returns the manager to move to, if one that is new drew this node: each of n managers
   * gets its share, one node in n.
   */
  update(managers: readonly string[]): string | undefined {
    const known = new Set(this.#managers);
    const fresh = managers.filter((manager) => !known.has(manager));
    this.#managers = managers;
    return fresh.length === 0 ? undefined : fresh[this.#random.int(managers.length)];
  }
}
