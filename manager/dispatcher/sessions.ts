/**
 * The sessions of nodes with this manager. Invariant: a node has at most one; a newer one ends the older, so that of two
 * agents that claim one identity the older never overwrites what the newer says. Where the newer one is with another
 * manager, the store tells.
 */
import { Fault } from "#proto/fault.ts";

const takenOver =
  "the node has opened a newer session: if that was not this agent, two hosts use one identity, and one of them must leave and join anew";

export class Session {
  readonly id: string;
  readonly nodeId: string;
  /** When the agent was last heard, on the monotonic clock. */
  beatMs: number;
  /** The services that the node was last told to measure. */
  measuredIds: ReadonlySet<string> = new Set();
  readonly #ended = new AbortController();
  #stored = false;
  #assignments: AbortController | undefined;

  constructor(id: string, nodeId: string, nowMs: number) {
    this.id = id;
    this.nodeId = nodeId;
    this.beatMs = nowMs;
  }

  /** Aborted, with the Fault that says why, when the session ends. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Whether the store has named it as the node's newest: any other that it names from then on is newer. */
  get stored(): boolean {
    return this.#stored;
  }

  /** The store names this session as the node's newest. */
  onNewest(sessionId: string): void {
    if (sessionId === this.id) this.#stored = true;
    else if (this.#stored) this.end(new Fault("failed-precondition", takenOver));
  }

  /** The signal of a new assignment stream, which ends an earlier one. */
  beginAssignments(): AbortSignal {
    this.#assignments?.abort(new Fault("failed-precondition", "a newer stream took over"));
    this.#assignments = new AbortController();
    return AbortSignal.any([this.signal, this.#assignments.signal]);
  }

  end(fault: Fault): void {
    this.#ended.abort(fault);
  }
}

export class Sessions {
  readonly #sessions = new Map<string, Session>();

  get size(): number {
    return this.#sessions.size;
  }

  open(session: Session): void {
    this.#sessions.get(session.nodeId)?.end(new Fault("failed-precondition", takenOver));
    this.#sessions.set(session.nodeId, session);
    session.signal.addEventListener("abort", () => {
      if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
    });
  }

  get(nodeId: string): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  /** The node's session, provided that it is the named one. */
  require(nodeId: string, sessionId: string): Session {
    const session = this.#sessions.get(nodeId);
    if (session?.id === sessionId) return session;
    throw new Fault(
      "failed-precondition",
      `session "${sessionId}" is not the node's current one: open a new session`,
    );
  }

  endAll(fault: Fault): void {
    for (const session of this.#sessions.values()) session.end(fault);
  }
}
