/**
 * Typed gRPC on grpc-js from the descriptors that protobuf-es generates: clients whose methods return promises and
 * async iterables, servers whose handlers are plain async functions, and Faults that cross the wire with their code.
 */
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
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { Fault } from "./fault.ts";
import { bidiStream, serveBidiStream } from "./grpc-bidi.ts";
import { faultFromGrpc, grpcError } from "./grpc-fault.ts";
import { onAbort, pour } from "./pour.ts";
import { type ClientTls, TlsChannelCredentials } from "./tls/client-credentials.ts";
import { type AnyServerCall, type CallContext, ServerCallContext } from "./call-context.ts";

export type { CallContext };

/** How long a unary call may take where the caller does not say. */
const unaryDeadlineMs = 10_000;

/** The largest message either side accepts. */
export const messageBytesMax = 16 * 1024 * 1024;

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
        : S["method"][M] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageInitShape<I>>,
              options?: CallOptions,
            ) => AsyncIterable<MessageShape<O>>
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
        : S["method"][M] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageShape<I>>,
              context: CallContext,
            ) => AsyncIterable<MessageInitShape<O>>
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
        return (requests: AsyncIterable<Message>, { signal }: CallOptions = {}) => {
          const request = (init: Message) => create(method.input, init);
          const open = () =>
            this.#client.makeBidiStreamRequest<Message, Message>(
              wire.path,
              wire.requestSerialize,
              wire.responseDeserialize,
              this.#metadata,
            );
          return bidiStream({ open, request, requests, signal });
        };
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
      return serveBidiStream(method, handler, admit);
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
