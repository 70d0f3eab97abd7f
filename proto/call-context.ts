/** What a handler is told of its call. */
import type { Caller } from "./caller.ts";

export interface CallContext {
  /** Aborted when the call is over: the client goes away, cancels, its deadline passes, or it has its answer. */
  readonly signal: AbortSignal;
  readonly metadata: ReadonlyMap<string, string>;
  /** The client's address, such as "10.0.0.2:41234"; "unknown" on a unix socket. */
  readonly peer: string;
  readonly caller: Caller;
}
