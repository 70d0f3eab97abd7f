/**
 * Typed gRPC on grpc-js from the descriptors that protobuf-es generates: clients whose methods return promises and
 * async iterables, servers whose handlers are plain async functions, and Faults that cross the wire with their code.
 */
import type { Writable } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions as GrpcCallOptions,
  type ChannelOptions,
  Client as GrpcClient,
  credentials,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  Metadata,
  type Server,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { type Code, Fault } from "./fault.ts";
import { type ClientTls, TlsChannelCredentials } from "./tls/client-credentials.ts";
import { type AnyServerCall, type CallContext, ServerCallContext } from "./call-context.ts";

export type { CallContext };

/** How long a unary call may take where the caller does not say. */
const unaryDeadlineMs = 10_000;

/** The largest message either side accepts. */
export const messageBytesMax = 16 * 1024 * 1024;

const statusOfCode = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "already-exists": status.ALREADY_EXISTS,
  conflict: status.ABORTED,
  "failed-precondition": status.FAILED_PRECONDITION,
  "permission-denied": status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  "resource-exhausted": status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  "deadline-exceeded": status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  unimplemented: status.UNIMPLEMENTED,
  "data-loss": status.DATA_LOSS,
  internal: status.INTERNAL,
} as const satisfies Record<Code, status>;

const codeOfStatus = new Map<number, Code>(
  Object.entries(statusOfCode).map(([code, grpcStatus]) => [grpcStatus, code as Code]),
);

/** Of a Fault's message on the wire, where a character takes up to nine bytes and headers at most 64 KiB together. */
const detailsLengthMax = 4096;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** For unary calls; default 10 s. Streams have none. */
  readonly deadlineMs?: number;
}

type UnaryCall<I extends DescMethodUnary["input"], O extends DescMethodUnary["output"]> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

export type Client<S extends DescService> = {
  [M in keyof S["method"]]: S["method"][M] extends DescMethodUnary<infer I, infer O>
    ? UnaryCall<I, O>
    : S["method"][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : S["method"][M] extends DescMethodClientStreaming<infer I, infer O>
        ? (
            requests: AsyncIterable<MessageInitShape<I>>,
            options?: CallOptions,
          ) => Promise<MessageShape<O>>
        : never;
};

/** Throws the Fault that refuses a call. Asked before the handler is. */
export type Authorize = (method: DescMethod, context: CallContext) => void;

/**
 * A client that cancels its stream of requests may look like one that has said everything, because Node's HTTP/2 ends a
 * stream before it resets it: what must be complete needs a last message that says so.
 */
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
        : never;
};

export interface ConnectionOptions {
  /** Absent: in plain text, as on unix sockets. */
  readonly tls?: ClientTls;
  /** Travels with every call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long a unary call may take where it does not say; default 10 s. */
  readonly deadlineMs?: number;
}

/** One connection to one address, shared by the clients of several services. */
export class Connection implements Disposable {
  readonly #client: GrpcClient;
  readonly #metadata: Metadata;
  readonly #deadlineMs: number;

  /** `address`: "host:port" or "unix:/path". */
  constructor(address: string, options: ConnectionOptions = {}) {
    const { tls } = options;
    const security =
      tls === undefined ? credentials.createInsecure() : new TlsChannelCredentials(tls);
    this.#client = new GrpcClient(address, security, channelOptions);
    this.#deadlineMs = options.deadlineMs ?? unaryDeadlineMs;
    this.#metadata = new Metadata();
    for (const [key, value] of Object.entries(options.metadata ?? {})) {
      this.#metadata.set(key, value);
    }
  }

  /** Keep it: making it costs more than a call does. */
  service<S extends DescService>(service: S): Client<S> {
    const client: Record<string, unknown> = {};
    for (const method of service.methods) client[method.localName] = this.#call(method);
    return client as Client<S>;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #call(method: DescMethod): unknown {
    const wire = wireMethod(method);
    switch (method.methodKind) {
      case "unary":
        return (request: Message, options?: CallOptions) => this.#unary(wire, request, options);
      case "server_streaming":
        return (request: Message, options?: CallOptions) =>
          this.#serverStream(wire, request, options);
      case "client_streaming":
        return (requests: AsyncIterable<Message>, options?: CallOptions) =>
          this.#clientStream(wire, requests, options);
      case "bidi_streaming":
        return undefined;
    }
  }

  #unary(method: WireMethod, request: Message, options: CallOptions = {}): Promise<Message> {
    const deadline = new Date(Date.now() + (options.deadlineMs ?? this.#deadlineMs));
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<Message, Message>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        create(method.input, request),
        this.#metadata,
        { deadline } satisfies GrpcCallOptions,
        (error, response) => {
          release();
          if (error !== null) reject(faultFromGrpc(error));
          else if (response === undefined) reject(new Fault("internal", "the reply is empty"));
          else resolve(response);
        },
      );
      const release = onAbort(options.signal, () => call.cancel());
    });
  }

  async *#serverStream(
    method: WireMethod,
    request: Message,
    options: CallOptions = {},
  ): AsyncIterable<Message> {
    const call = this.#client.makeServerStreamRequest<Message, Message>(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      create(method.input, request),
      this.#metadata,
    );
    const release = onAbort(options.signal, () => call.cancel());
    try {
      for await (const message of call) yield message as Message;
    } catch (thrown) {
      throw faultFromGrpc(thrown);
    } finally {
      release();
      call.cancel();
    }
  }

  #clientStream(
    method: WireMethod,
    requests: AsyncIterable<Message>,
    options: CallOptions = {},
  ): Promise<Message> {
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const call = this.#client.makeClientStreamRequest<Message, Message>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        this.#metadata,
        {},
        (error, response) => {
          release();
          over.abort();
          if (error !== null) reject(faultFromGrpc(error));
          else if (response === undefined) reject(new Fault("internal", "the reply is empty"));
          else resolve(response);
        },
      );
      const release = onAbort(options.signal, () => call.cancel());
      const send = async () => {
        await pour(requests, {
          write: (request) => call.write(create(method.input, request)),
          stream: call,
          over: over.signal,
        });
        call.end();
      };
      send().catch((thrown: unknown) => {
        call.cancel();
        reject(Fault.from(thrown));
      });
    });
  }
}

/** Adds a service to a grpc-js server. Without `authorize`, whoever reaches the server may call all of it. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  authorize: Authorize = () => {},
): void {
  const definitions: Record<string, MethodDefinition<Message, Message>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    definitions[method.localName] = wireMethod(method);
    const handler = handlers[method.localName as keyof Handlers<S>] as unknown;
    implementation[method.localName] = serve(method, handler, authorize);
  }
  server.addService(definitions, implementation);
}

export const channelOptions: ChannelOptions = {
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  // Nodes find each other by address, never through an HTTP proxy of the environment.
  "grpc.enable_http_proxy": 0,
  // A new Connection shall be a new connection, not the one to the same address whose way is cut.
  "grpc.use_local_subchannel_pool": 1,
  // A dead host is noticed within 10 s also where no deadline runs, as on streams.
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
};

/** A method as grpc-js knows it, and what its requests are. */
type WireMethod = MethodDefinition<Message, Message> & { readonly input: DescMessage };

function wireMethod(method: DescMethod): WireMethod {
  return {
    input: method.input,
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream:
      method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream:
      method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => encode(method.input, message),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => encode(method.output, message),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

function encode(schema: DescMessage, message: Message): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(schema, message);
  return Buffer.from(buffer, byteOffset, byteLength);
}

type AnyUnary = (request: Message, context: CallContext) => Promise<Message>;
type AnyServerStream = (request: Message, context: CallContext) => AsyncIterable<Message>;
type AnyClientStream = (requests: AsyncIterable<Message>, context: CallContext) => Promise<Message>;

function serve(
  method: DescMethod,
  handler: unknown,
  authorize: Authorize,
): UntypedServiceImplementation[string] {
  const admit = (call: AnyServerCall) => {
    const context = new ServerCallContext(call);
    authorize(method, context);
    return context;
  };
  switch (method.methodKind) {
    case "unary":
      return serveUnary(method, handler as AnyUnary, admit);
    case "server_streaming":
      return serveServerStream(method, handler as AnyServerStream, admit);
    case "client_streaming":
      return serveClientStream(method, handler as AnyClientStream, admit);
    case "bidi_streaming":
      throw new Fault(
        "unimplemented",
        `Cannot serve ${method.name}: bidirectional streams are not used`,
      );
  }
}

/** What a handler is told of a call that its caller may make; throws for the others. */
type Admit = (call: AnyServerCall) => CallContext;

function serveUnary(
  method: DescMethod,
  handler: AnyUnary,
  admit: Admit,
): handleUnaryCall<Message, Message> {
  return (call, callback) => {
    const answer = async () => create(method.output, await handler(call.request, admit(call)));
    answer().then(
      (response) => callback(null, response),
      (thrown: unknown) => callback(grpcError(thrown)),
    );
  };
}

function serveServerStream(
  method: DescMethod,
  handler: AnyServerStream,
  admit: Admit,
): handleServerStreamingCall<Message, Message> {
  return (call) => {
    const send = async () => {
      const context = admit(call);
      await pour(handler(call.request, context), {
        write: (response) => call.write(create(method.output, response)),
        stream: call,
        over: context.signal,
      });
      if (!context.signal.aborted) call.end();
    };
    send().catch((thrown: unknown) => {
      if (!call.cancelled) call.emit("error", grpcError(thrown));
    });
  };
}

function serveClientStream(
  method: DescMethod,
  handler: AnyClientStream,
  admit: Admit,
): handleClientStreamingCall<Message, Message> {
  return (call, callback) => {
    const requests = call as AsyncIterable<Message>;
    const answer = async () => {
      const context = admit(call);
      // Until it has these, grpc-js keeps what the client sends, for another attempt: on a long call, up to 1 MiB.
      call.sendMetadata(new Metadata());
      return create(method.output, await handler(requests, context));
    };
    answer().then(
      (response) => callback(null, response),
      (thrown: unknown) => callback(grpcError(thrown)),
    );
  };
}

function grpcError(thrown: unknown): Partial<ServiceError> {
  const fault = Fault.from(thrown);
  // It travels URI-encoded, and so must be valid UTF-16, in a header, whose length is limited.
  const details = fault.message.slice(0, detailsLengthMax).toWellFormed();
  return { code: statusOfCode[fault.code], details };
}

/** What grpc-js says when a server vanished in the middle of a call; of our own aborts it says something else. */
const resetByPeer = "Call cancelled";

function faultFromGrpc(thrown: unknown): Fault {
  if (!(thrown instanceof Error) || !("code" in thrown) || typeof thrown.code !== "number") {
    return Fault.from(thrown);
  }
  const code = codeOfStatus.get(thrown.code) ?? "internal";
  const details = "details" in thrown && typeof thrown.details === "string" ? thrown.details : "";
  const options = { cause: thrown };
  if (code === "canceled" && details === resetByPeer) {
    return new Fault("unavailable", "the other side ended the call", options);
  }
  // grpc-js goes on with what it waited for, in words of its own.
  const late = /^Deadline exceeded after ([0-9.]+)s/.exec(details)?.[1];
  if (late !== undefined) {
    const seconds = Number(Number(late).toFixed(1));
    return new Fault(code, `there was no answer within ${seconds} s`, options);
  }
  const refused =
    /^No connection established\. Last error: (?:(?:Error|Fault): )?(.*?)\. Resolution note: /;
  const words = refused.exec(details)?.[1] ?? details;
  return new Fault(code, words || thrown.message, options);
}

/** Calls `act` when the signal is or becomes aborted; returns how to stop listening. */
function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) queueMicrotask(act);
  signal.addEventListener("abort", act, { once: true });
  return () => signal.removeEventListener("abort", act);
}

interface Sink {
  /** False: full; the stream says "drain" when it takes more. */
  readonly write: (message: Message) => boolean;
  readonly stream: Writable;
  /** Aborted when the call has ended, whoever ended it. */
  readonly over: AbortSignal;
}

/**
 * Writes messages as fast as the stream takes them, until there are no more or the call is over. The source's `return()`
 * is called then also while it is waited for; one that waits for something else must know the call's signal.
 */
async function pour(messages: AsyncIterable<Message>, sink: Sink): Promise<void> {
  const { over } = sink;
  const iterator = messages[Symbol.asyncIterator]();
  const release = onAbort(over, () => {
    // How the source ends does not matter to anybody any more.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  });
  try {
    for await (const message of { [Symbol.asyncIterator]: () => iterator }) {
      if (over.aborted) return;
      if (!sink.write(message)) await drained(sink);
      if (over.aborted) return;
    }
  } finally {
    release();
  }
}

/** Resolves when the stream takes more, or is gone. */
function drained({ stream, over }: Sink): Promise<void> {
  if (stream.destroyed || over.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const events = ["drain", "close", "error"];
    const done = () => {
      for (const event of events) stream.off(event, done);
      release();
      resolve();
    };
    const release = onAbort(over, done);
    for (const event of events) stream.on(event, done);
  });
}
