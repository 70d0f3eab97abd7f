/** What a handler knows of its call. Most handlers ask for little of it, so what costs is made when it is asked for. */
import type { Metadata } from "@grpc/grpc-js";
import type { Caller } from "./caller.ts";
import { Fault } from "./fault.ts";
import type { CallContext } from "./grpc.ts";
import { callerOf } from "./tls/identified-credentials.ts";

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
