/**
 * The sessions of nodes with this manager. Invariant: a node has at most one; a newer one ends the older, so that of two
 * agents that claim one identity the older never overwrites what the newer says.
 */
import { Fault } from "#proto/fault.ts";

export class Session {
  readonly id: string;
  readonly nodeId: string;
  readonly #ended = new AbortController();
  #assignments: AbortController | undefined;

  constructor(id: string, nodeId: string) {
    this.id = id;
    this.nodeId = nodeId;
  }

  /** Aborted, with the Fault that says why, when the session ends. */
  get signal(): AbortSignal {
    return this.#ended.signal;
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

  open(nodeId: string, sessionId: string): Session {
    this.end(nodeId, new Fault("failed-precondition", "the node has opened a newer session"));
    const session = new Session(sessionId, nodeId);
    this.#sessions.set(nodeId, session);
    return session;
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

  end(nodeId: string, fault: Fault): void {
    const session = this.#sessions.get(nodeId);
    this.#sessions.delete(nodeId);
    session?.end(fault);
  }

  endAll(fault: Fault): void {
    for (const nodeId of this.#sessions.keys()) this.end(nodeId, fault);
  }
}
