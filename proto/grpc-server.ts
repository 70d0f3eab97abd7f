/**
 * Serves gRPC on Node's HTTP/2. Handlers are plain async functions over the messages that protobuf-es generates; what they
 * throw crosses the wire as a Fault. Connections are handed in when it is known who is at the other end.
 *
 * Not grpc-js's server: that spends more on a small call than everything behind it does (docs/decisions.md).
 */
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import { isIPv6, type Socket } from "node:net";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { CallContext } from "./call-context.ts";
import type { Caller } from "./caller.ts";
import { Fault } from "./fault.ts";
import { encodeFrame } from "./grpc-frames.ts";
import { endConnection, keepAlive } from "./grpc-keep-alive.ts";
import { ServerCall } from "./grpc-server-call.ts";
import type { Clock } from "./ports.ts";
import { pour } from "./pour.ts";
import { version } from "./version.ts";

/** Throws the Fault that refuses a call. Asked before the handler is. */
export type Authorize = (method: DescMethod, context: CallContext) => void;

/** Requests of a client that goes away, or cancels, end with a Fault. */
export type Handlers<S extends DescService> = {
  [M in keyof S["method"]]: S["method"][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
    : S["method"][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : S["method"][M] extends DescMethodClientStreaming<infer I, infer O>
        ? (
            requests: AsyncIterable<MessageShape<I>>,
            context: CallContext,
          ) => Promise<MessageInitShape<O>>
        : S["method"][M] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageShape<I>>,
              context: CallContext,
            ) => AsyncIterable<MessageInitShape<O>>
          : never;
};

export interface GrpcServerOptions {
  /** The largest message either side may send. */
  readonly messageBytesMax: number;
  /** Calls at a time on one connection; default: no limit. */
  readonly callsMax?: number;
  /** In MB: what HTTP/2 may hold for one connection, such as large messages until they are sent; default: Node's 10. */
  readonly memoryMax?: number;
}

/** Takes a call; what it throws or rejects with fails the call. */
export type ServeCall = (call: ServerCall) => Promise<void>;

interface Method {
  readonly serve: ServeCall;
  readonly isUnary: boolean;
}

/** From an answer's being given to its being sent. */
const flushMs = 100;

export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #clock: Clock;
  readonly #methods = new Map<string, Method>();
  readonly #sessions = new Map<ServerHttp2Session, Socket>();
  #onEmpty: (() => void) | undefined;
  /** Calls whose one answer is still to come. */
  #answering = 0;
  #onAnswered: (() => void) | undefined;

  constructor(options: GrpcServerOptions, { clock }: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = clock;
  }

  get messageBytesMax(): number {
    return this.#options.messageBytesMax;
  }

  handle(method: DescMethod, serve: ServeCall): void {
    const isUnary = method.methodKind === "unary";
    this.#methods.set(`/${method.parent.typeName}/${method.name}`, { serve, isUnary });
  }

  /** Serves a connection, all of which is this caller's. */
  serve(socket: Socket, caller: Caller): void {
    const { callsMax, memoryMax, messageBytesMax } = this.#options;
    const settings = callsMax === undefined ? {} : { maxConcurrentStreams: callsMax };
    const session = performServerHandshake(socket, {
      settings,
      ...(memoryMax === undefined ? {} : { maxSessionMemory: memoryMax }),
    });
    this.#sessions.set(session, socket);
    const connection = { caller, peer: peerOf(socket), messageBytesMax, clock: this.#clock };
    session.on("stream", (stream, headers) => {
      const call = new ServerCall(stream, headers, connection);
      this.#serveCall(call, headers[":path"]).catch((thrown: unknown) =>
        call.fail(Fault.from(thrown)),
      );
    });
    // "close" follows.
    session.on("error", () => {});
    const living = keepAlive({ session, socket }, this.#clock);
    session.once("close", () => {
      living[Symbol.dispose]();
      this.#sessions.delete(session);
      if (this.#sessions.size === 0) this.#onEmpty?.();
    });
  }

  /**
   * Lets calls end by themselves for `graceMs`, and those that will have one answer for `answersMs`, for whoever asked would
   * not know what became of it; streams never end by themselves. New connections must not come any more.
   */
  async close(graceMs: number, answersMs = graceMs): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    if (this.#sessions.size === 0) return;
    for (const session of this.#sessions.keys()) session.close();
    using timers = new DisposableStack();
    const shutDownAfter = (ms: number) => {
      timers.use(this.#clock.timer(ms, () => this.shutDown()));
    };
    const onGrace = () => {
      if (this.#answering === 0) return this.shutDown();
      this.#onAnswered = () => shutDownAfter(flushMs);
      shutDownAfter(Math.max(answersMs - graceMs, 0));
    };
    timers.use(this.#clock.timer(graceMs, onGrace));
    await promise;
  }

  /** Ends everything at once. */
  shutDown(): void {
    for (const [session, socket] of this.#sessions) endConnection({ session, socket });
  }

  async #serveCall(call: ServerCall, path = ""): Promise<void> {
    if (!call.isGrpc) {
      call.refuseMediaType();
      return;
    }
    const method = this.#methods.get(path);
    if (method === undefined) {
      const text = `the server, of version ${version}, has no method ${path}: upgrade it, or call it with its own version`;
      throw new Fault("unimplemented", text);
    }
    call.limitTime();
    if (!method.isUnary) return await method.serve(call);
    this.#answering += 1;
    try {
      await method.serve(call);
    } finally {
      this.#answering -= 1;
      if (this.#answering === 0) this.#onAnswered?.();
    }
  }
}

/** Adds a service. Without `authorize`, whoever reaches the server may call all of it. */
export function addService<S extends DescService>(
  server: GrpcServer,
  service: S,
  handlers: Handlers<S>,
  authorize: Authorize = () => {},
): void {
  for (const method of service.methods) {
    const handler = handlers[method.localName as keyof Handlers<S>] as unknown;
    const serve = serveMethod(method, handler, server.messageBytesMax);
    server.handle(method, async (call) => {
      authorize(method, call);
      await serve(call);
    });
  }
}

type Unary = (request: Message, context: CallContext) => Promise<Message>;
type ServerStream = (request: Message, context: CallContext) => AsyncIterable<Message>;
type ClientStream = (requests: AsyncIterable<Message>, context: CallContext) => Promise<Message>;
type BidiStream = (
  requests: AsyncIterable<Message>,
  context: CallContext,
) => AsyncIterable<Message>;

function serveMethod(method: DescMethod, handler: unknown, bytesMax: number): ServeCall {
  const frame = (init: Message) =>
    encodeFrame(method.output, create(method.output, init), bytesMax);
  const send = async (call: ServerCall, responses: AsyncIterable<Message>) => {
    await pour(responses, {
      write: (response) => call.write(frame(response)),
      stream: call.stream,
      over: call.signal,
    });
    call.end();
  };
  switch (method.methodKind) {
    case "unary":
      return async (call) => {
        const request = decode(method.input, await call.request());
        call.end(frame(await (handler as Unary)(request, call)));
      };
    case "server_streaming":
      return async (call) => {
        const request = decode(method.input, await call.request());
        await send(call, (handler as ServerStream)(request, call));
      };
    case "client_streaming":
      return async (call) => {
        // Until it hears something, a client keeps what it sends, for another attempt.
        call.begin();
        call.end(frame(await (handler as ClientStream)(decodeAll(method.input, call), call)));
      };
    case "bidi_streaming":
      return async (call) => {
        call.begin();
        await send(call, (handler as BidiStream)(decodeAll(method.input, call), call));
      };
  }
}

async function* decodeAll(schema: DescMessage, call: ServerCall): AsyncIterable<Message> {
  for await (const bytes of call.requests()) yield decode(schema, bytes);
}

function decode(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (thrown) {
    const options = { cause: thrown };
    throw new Fault("invalid-argument", `the request is not a ${schema.typeName}`, options);
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined) return "unknown";
  return isIPv6(remoteAddress)
    ? `[${remoteAddress}]:${remotePort}`
    : `${remoteAddress}:${remotePort}`;
}
