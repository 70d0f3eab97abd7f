/** Tells the handlers of a grpc-js server who is at the other end. */
import {
  experimental,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import type { Caller } from "../caller.ts";

type AuthContext = ReturnType<ServerInterceptingCall["getAuthContext"]>;

/** What `getAuthContext()` of a call gives on a connection with `identifiedCredentials`. */
interface IdentifiedContext extends AuthContext {
  readonly caller: Caller;
}

class IdentifiedCall extends ServerInterceptingCall {
  readonly #context: IdentifiedContext;

  constructor(
    call: ConstructorParameters<typeof ServerInterceptingCall>[0],
    context: IdentifiedContext,
  ) {
    super(call);
    this.#context = context;
  }

  override getAuthContext(): IdentifiedContext {
    return this.#context;
  }
}

/** For connections that are plain, or decrypted already: every call on them is this caller's. */
export function identifiedCredentials(caller: Caller): ServerCredentials {
  const context = { caller };
  const identify: ServerInterceptor = (_method, call) => new IdentifiedCall(call, context);
  return experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
    identify,
  ]);
}

export function callerOf(call: { getAuthContext(): AuthContext }): Caller {
  const context: Partial<IdentifiedContext> = call.getAuthContext();
  return context.caller ?? { kind: "anonymous", problem: "the connection is not encrypted" };
}
