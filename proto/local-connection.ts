/**
 * A connection to a unix socket for a program that is soon over: unary calls, which is nearly all that such a program makes, need
 * neither grpc-js nor Node's HTTP/2. Streams, and requests larger than the other side takes at once, go through grpc.ts, which is
 * loaded for the first of them.
 */
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Fault } from "./fault.ts";
import type { CallOptions, Client, Connection, ConnectionOptions } from "./grpc.ts";
import { faultOfStatus } from "./grpc-fault.ts";
import { FrameReader, frameOf, messageBytesMax } from "./grpc-frames.ts";
import { type Exchange, Http2Exchange, type Reply } from "./http2-exchange.ts";
import type { Clock } from "./ports.ts";
import { onAbort } from "./pour.ts";

const unaryDeadlineMs = 10_000;
/** What eight digits say. */
const timeoutMsMax = 99_999_999;
const pathPrefix = "unix:";

type Call = (input: unknown, options?: CallOptions) => unknown;

export class LocalConnection implements Disposable {
  readonly #address: string;
  readonly #options: ConnectionOptions;
  readonly #clock: Clock;
  #exchange: Http2Exchange | undefined;
  #full: Promise<Connection> | undefined;

  /** `address`: "unix:/path". */
  constructor(
    address: string,
    options: Omit<ConnectionOptions, "tls">,
    { clock }: { readonly clock: Clock },
  ) {
    this.#address = address;
    this.#options = options;
    this.#clock = clock;
  }

  /** Keep it: making it costs more than a call does. */
  service<S extends DescService>(service: S): Client<S> {
    const client: Record<string, unknown> = {};
    for (const method of service.methods) client[method.localName] = this.#call(service, method);
    return client as Client<S>;
  }

  [Symbol.dispose](): void {
    this.#exchange?.close();
    // Whoever still waits for it finds it closed.
    this.#full?.then((connection) => connection[Symbol.dispose]()).catch(() => undefined);
  }

  #call(service: DescService, method: DescMethod): Call {
    const throughGrpc = async (input: unknown, options?: CallOptions) => {
      const client: object = (await this.#connectFully()).service(service);
      return (client as Record<string, Call>)[method.localName]?.(input, options);
    };
    switch (method.methodKind) {
      case "unary":
        return async (input, options) => {
          const request = create(method.input, input as MessageInitShape<typeof method.input>);
          const exchange = this.#exchangeFor(method, request, options);
          return this.#open().fits(exchange)
            ? await this.#unary(method, exchange, options)
            : await throughGrpc(input, options);
        };
      case "client_streaming":
        return throughGrpc;
      case "server_streaming":
      case "bidi_streaming":
        return async function* (input, options) {
          yield* (await throughGrpc(input, options)) as AsyncIterable<unknown>;
        };
    }
  }

  #connectFully(): Promise<Connection> {
    this.#full ??= import("./grpc.ts").then(
      ({ Connection }) => new Connection(this.#address, this.#options),
    );
    return this.#full;
  }

  #open(): Http2Exchange {
    if (this.#exchange === undefined || this.#exchange.isOver) {
      const path = this.#address.slice(pathPrefix.length);
      this.#exchange = new Http2Exchange(path, { bodyBytesMax: messageBytesMax + 5 });
    }
    return this.#exchange;
  }

  #deadlineMs({ deadlineMs }: CallOptions = {}): number {
    return deadlineMs ?? this.#options.deadlineMs ?? unaryDeadlineMs;
  }

  #exchangeFor(method: DescMethod, request: Message, options?: CallOptions): Exchange {
    const timeoutMs = Math.min(Math.ceil(this.#deadlineMs(options)), timeoutMsMax);
    return {
      headers: [
        [":method", "POST"],
        [":scheme", "http"],
        [":path", `/${method.parent.typeName}/${method.name}`],
        [":authority", "localhost"],
        ["te", "trailers"],
        ["content-type", "application/grpc"],
        ["grpc-timeout", `${timeoutMs}m`],
        ...Object.entries(this.#options.metadata ?? {}),
      ],
      body: frameOf(toBinary(method.input, request), messageBytesMax),
    };
  }

  async #unary(method: DescMethod, exchange: Exchange, options?: CallOptions) {
    const asked = this.#open().ask(exchange);
    const deadlineMs = this.#deadlineMs(options);
    using _deadline = this.#clock.timer(deadlineMs, () => {
      const seconds = Number((deadlineMs / 1000).toFixed(1));
      asked.cancel(new Fault("deadline-exceeded", `there was no answer within ${seconds} s`));
    });
    const release = onAbort(options?.signal, () =>
      asked.cancel(new Fault("canceled", "the call was cancelled")),
    );
    try {
      return fromBinary(method.output, messageIn(await asked.reply));
    } finally {
      release();
    }
  }
}

function messageIn({ headers, body }: Reply): Buffer {
  const status = headers.get("grpc-status");
  if (status === undefined) {
    throw new Fault("internal", `the reply is not of gRPC: HTTP status ${headers.get(":status")}`);
  }
  if (status !== "0") throw faultOfStatus(Number(status), messageOf(headers.get("grpc-message")));
  const reader = new FrameReader(messageBytesMax);
  const [message, another] = reader.push(body);
  if (message === undefined || another !== undefined || reader.partial) {
    throw new Fault("internal", "the reply is not one message");
  }
  return message;
}

/** It travels percent-encoded; what is not is taken as it is. */
function messageOf(text = ""): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
