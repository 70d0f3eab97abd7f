/** What a handler is told of its call. Most ask for little of it, so what costs is made when it is asked for. */
import type { Metadata } from "@grpc/grpc-js";
import type { Caller } from "./caller.ts";
import { Fault } from "./fault.ts";
import { callerOf } from "./tls/identified-credentials.ts";

export interface CallContext {
  /** Aborted when the call is over: the client goes away, cancels, its deadline passes, or it has its answer. */
  readonly signal: AbortSignal;
  readonly metadata: ReadonlyMap<string, string>;
  /** The client's address, such as "10.0.0.2:41234"; "unknown" on a unix socket. */
  readonly peer: string;
  readonly caller: Caller;
}

export type AnyServerCall = Parameters<typeof callerOf>[0] & {
  readonly metadata: Metadata;
  getPeer(): string;
  on(event: "cancelled" | "close", listener: () => void): unknown;
};

/** The same for all calls: its stack says nothing, and calls end often. */
const over = new Fault("canceled", "the caller went away");

export class ServerCallContext implements CallContext {
  readonly caller: Caller;
  readonly #call: AnyServerCall;
  #ended = false;
  #controller: AbortController | undefined;
  #metadata: ReadonlyMap<string, string> | undefined;

  constructor(call: AnyServerCall) {
    this.#call = call;
    this.caller = callerOf(call);
    call.on("cancelled", () => {
      this.#ended = true;
      this.#controller?.abort(over);
    });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended) this.#controller.abort(over);
    }
    return this.#controller.signal;
  }

  get metadata(): ReadonlyMap<string, string> {
    this.#metadata ??= textsOf(this.#call.metadata);
    return this.#metadata;
  }

  get peer(): string {
    return this.#call.getPeer();
  }
}

function textsOf(metadata: Metadata): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata.getMap())) {
    if (typeof value === "string") texts.set(key, value);
  }
  return texts;
}
