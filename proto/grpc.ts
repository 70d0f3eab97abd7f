/**
 * Typed gRPC from the descriptors that protobuf-es generates: clients on grpc-js, whose methods return promises and async
 * iterables, and Faults that cross the wire with their code. The other side is grpc-server.ts.
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
  type MethodDefinition,
  Metadata,
} from "@grpc/grpc-js";
import { Fault } from "./fault.ts";
import { bidiStream } from "./grpc-bidi.ts";
import { faultFromGrpc } from "./grpc-fault.ts";
import { messageBytesMax } from "./grpc-frames.ts";
import { onAbort, pour } from "./pour.ts";
import { type ClientTls, TlsChannelCredentials } from "./tls/client-credentials.ts";

export type { CallContext } from "./call-context.ts";
export { messageBytesMax } from "./grpc-frames.ts";
export { addService, type Authorize, type Handlers } from "./grpc-server.ts";

/** How long a unary call may take where the caller does not say. */
const unaryDeadlineMs = 10_000;

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
