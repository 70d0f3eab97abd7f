/**
 * A client that makes small writes durable on a group of managers: ours through the control API with a user's
 * certificate, etcd through its KV API. Both with the same gRPC library and nothing around it, so that what the client
 * costs is the same but for TLS; replies are not looked into.
 */
import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type ChannelCredentials, Client, credentials, Metadata } from "@grpc/grpc-js";
import { CreateConfigRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { TlsChannelCredentials } from "#proto/tls/client-credentials.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";

/** What a writer writes to. Travels as JSON. */
export type Target =
  | {
      readonly kind: "ours";
      /** HOST:PORT. */
      readonly addresses: readonly string[];
      readonly identity: TlsIdentity;
      readonly clusterId: string;
    }
  | { readonly kind: "etcd"; readonly addresses: readonly string[] };

const valueBytes = 256;

const reconnectMs = 100;

/** How a kind of group takes a write. */
interface Protocol {
  readonly credentials: ChannelCredentials;
  /** Of the unary method. */
  readonly path: string;
  readonly encode: (key: string, value: Uint8Array) => Uint8Array;
}

/** Writes to the one manager at `address`, on a connection of its own. */
export class Writer implements Disposable {
  readonly #client: Client;
  readonly #protocol: Protocol;
  /** Unlike every other key of this and all other runs. */
  readonly #prefix = `bench-${randomBytes(8).toString("hex")}`;
  readonly #value = randomBytes(valueBytes);
  #count = 0;

  constructor(target: Target, address: string) {
    this.#protocol = target.kind === "ours" ? ourProtocol(target) : etcdProtocol;
    this.#client = new Client(address, this.#protocol.credentials, {
      "grpc.enable_http_proxy": 0,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": reconnectMs,
      "grpc.min_reconnect_backoff_ms": reconnectMs,
      "grpc.max_reconnect_backoff_ms": reconnectMs,
    });
  }

  /** Resolves when a new key with a value of 256 bytes is durable on a majority. */
  write(deadlineMs: number): Promise<void> {
    const { path, encode } = this.#protocol;
    this.#count += 1;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (request: Uint8Array) => Buffer.from(request),
        (reply) => reply,
        encode(`${this.#prefix}-${this.#count}`, this.#value),
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function ourProtocol(target: Extract<Target, { kind: "ours" }>): Protocol {
  const identity = new TlsIdentityHolder(target.identity);
  const { clusterId } = target;
  return {
    credentials: new TlsChannelCredentials({ kind: "mutual", identity, clusterId }),
    path: "/swarm.v1.ControlService/CreateConfig",
    encode: (name, data) => {
      const request = create(CreateConfigRequestSchema, { spec: { annotations: { name }, data } });
      return toBinary(CreateConfigRequestSchema, request);
    },
  };
}

/** etcd.io/docs/v3.5/dev-guide/api_reference_v3: KV.Put, of which the key is field 1 and the value field 2. */
const etcdProtocol: Protocol = {
  credentials: credentials.createInsecure(),
  path: "/etcdserverpb.KV/Put",
  encode: (key, value) => {
    const writer = new BinaryWriter();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).bytes(value);
    return writer.finish();
  },
};
