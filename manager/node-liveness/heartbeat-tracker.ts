/**
 * Which nodes still beat. Pure bookkeeping: it is handed the time and never asks for it.
 *
 * Invariant: a node expires no earlier than its grace after its last beat, and each expiry is told once.
 */
export class HeartbeatTracker {
  readonly #deadlines = new Map<string, number>();

  /** The node is alive now and has `graceMs` to say so again, or longer if it had: until the moment returned. */
  beat(nodeId: string, nowMs: number, graceMs: number): number {
    const deadline = Math.max(this.#deadlines.get(nodeId) ?? 0, nowMs + graceMs);
    this.#deadlines.set(nodeId, deadline);
    return deadline;
  }

  /** Whether the node is waited for: it has beaten, and not expired since. */
  tracks(nodeId: string): boolean {
    return this.#deadlines.has(nodeId);
  }

  forget(nodeId: string): void {
    this.#deadlines.delete(nodeId);
  }

  /** When the next node expires unless it beats; undefined when none is tracked. */
  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const deadline of this.#deadlines.values()) {
      if (next === undefined || deadline < next) next = deadline;
    }
    return next;
  }

  /** The nodes whose grace is over. They are forgotten. */
  expire(nowMs: number): readonly string[] {
    const expired: string[] = [];
    for (const [nodeId, deadline] of this.#deadlines) {
      if (deadline <= nowMs) expired.push(nodeId);
    }
    for (const nodeId of expired) this.#deadlines.delete(nodeId);
    return expired;
  }

  /** For when the manager itself stood still, so that beats may lie unread: everybody gets at least `graceMs` from now. */
  pardon(nowMs: number, graceMs: number): void {
    for (const [nodeId, deadline] of this.#deadlines) {
      this.#deadlines.set(nodeId, Math.max(deadline, nowMs + graceMs));
    }
  }
}
