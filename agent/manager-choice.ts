/**
 * Which manager a node opens its next session with: any of them at random, so that nodes spread over the managers, and
 * those that failed since a session last stood come after all others.
 */
import type { Fault } from "#proto/fault.ts";
import type { Random } from "#proto/ports.ts";

export class ManagerChoice {
  readonly #random: Random;
  #managers: readonly string[];
  #preferred: string | undefined;
  /** Why each manager failed that did in this round. */
  readonly #failures = new Map<string, Fault>();

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

  /** Whether all that failed did so because they do not want this node. */
  get refused(): boolean {
    return [...this.#failures.values()].every(
      ({ code }) => code === "permission-denied" || code === "unauthenticated",
    );
  }

  next(): string {
    const preferred = this.#preferred;
    this.#preferred = undefined;
    if (preferred !== undefined) return preferred;
    const untried = this.#managers.filter((manager) => !this.#failures.has(manager));
    const candidates = untried.length > 0 ? untried : this.#managers;
    return candidates[this.#random.int(Math.max(candidates.length, 1))] ?? "";
  }

  /** The next one is this one, whatever else is known of it. */
  prefer(manager: string): void {
    this.#preferred = manager;
  }

  fail(manager: string, fault: Fault): void {
    this.#failures.set(manager, fault);
  }

  /** Begins a round: every manager is as good as the others. */
  forgive(): void {
    this.#failures.clear();
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
