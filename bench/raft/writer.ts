/**
 * A client that makes small writes durable on a group of managers: ours through the control API with a user's
 * certificate, etcd through its KV API. Both with the same gRPC library, so that what the client costs is the same.
 */
import { randomBytes } from "node:crypto";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Client as GrpcClient, credentials, Metadata } from "@grpc/grpc-js";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Client, Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
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

export const valueBytes = 256;

export interface Writer extends Disposable {
  /** Resolves when a new key with a value of 256 bytes is durable on a majority. */
  write(deadlineMs: number): Promise<void>;
}

/** A writer to the one manager at `address`, on a connection of its own. */
export function openWriter(target: Target, address: string): Writer {
  return target.kind === "ours" ? new OurWriter(target, address) : new EtcdWriter(address);
}

/** Unlike every other key of this and all other runs. */
class Keys {
  readonly #prefix = randomBytes(8).toString("hex");
  #count = 0;

  next(): string {
    this.#count += 1;
    return `bench-${this.#prefix}-${this.#count}`;
  }
}

class OurWriter implements Writer {
  readonly #connection: Connection;
  readonly #control: Client<typeof ControlService>;
  readonly #keys = new Keys();
  readonly #data = randomBytes(valueBytes);

  constructor(target: Extract<Target, { kind: "ours" }>, address: string) {
    const identity = new TlsIdentityHolder(target.identity);
    const tls = { kind: "mutual", identity, clusterId: target.clusterId } as const;
    this.#connection = new Connection(address, { tls });
    this.#control = this.#connection.service(ControlService);
  }

  async write(deadlineMs: number): Promise<void> {
    const spec = { annotations: { name: this.#keys.next() }, data: this.#data };
    await this.#control.createConfig({ spec }, { deadlineMs });
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

/** etcd.io/docs/v3.5/dev-guide/api_reference_v3: KV.Put, of which the key is field 1 and the value field 2. */
class EtcdWriter implements Writer {
  readonly #client: GrpcClient;
  readonly #keys = new Keys();
  readonly #data = randomBytes(valueBytes);

  constructor(address: string) {
    this.#client = new GrpcClient(address, credentials.createInsecure(), {
      "grpc.enable_http_proxy": 0,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 100,
    });
  }

  write(deadlineMs: number): Promise<void> {
    const writer = new BinaryWriter();
    writer.tag(1, WireType.LengthDelimited).string(this.#keys.next());
    writer.tag(2, WireType.LengthDelimited).bytes(this.#data);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        "/etcdserverpb.KV/Put",
        (request: Uint8Array) => Buffer.from(request),
        (reply) => reply,
        writer.finish(),
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
