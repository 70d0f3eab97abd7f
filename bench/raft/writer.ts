/**
 * A client that makes small writes durable on a group of managers: ours through the control API with a user's
 * certificate, etcd through its KV API. Both are gRPC calls made on Node's HTTP/2 with nothing around it, so that what the
 * client costs is little, and the same but for TLS: what is measured is the servers. Replies are not looked into.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { connect as connectTls } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Fault } from "#proto/fault.ts";
import { CreateConfigRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { messageBytesMax } from "#proto/grpc.ts";
import { frameOf } from "#proto/grpc-frames.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";

/** What a writer writes to. Travels as JSON. */
export type Target =
  | {
      readonly kind: "ours";
      /** HOST:PORT. */
      readonly addresses: readonly string[];
      readonly identity: TlsIdentity;
      readonly clusterId: string;
    }
  | { readonly kind: "etcd" | "etcd_tls"; readonly addresses: readonly string[] };

const valueBytes = 256;

/** How a kind of group takes a write. */
interface Protocol {
  readonly connect: (address: string) => ClientHttp2Session;
  /** Of the unary method. */
  readonly path: string;
  readonly encode: (key: string, value: Uint8Array) => Uint8Array;
}

/** Writes to the one manager at `address`, on a connection of its own, which is made anew when it has ended. */
export class Writer implements Disposable {
  readonly #address: string;
  readonly #protocol: Protocol;
  #session: ClientHttp2Session | undefined;
  /** Unlike every other key of this and all other runs. */
  readonly #prefix = `bench-${randomBytes(8).toString("hex")}`;
  readonly #value = randomBytes(valueBytes);
  #count = 0;

  constructor(target: Target, address: string) {
    this.#address = address;
    this.#protocol = target.kind === "ours" ? ourProtocol(target) : etcdProtocol(target.kind);
  }

  /** Resolves when a new key with a value of 256 bytes is durable on a majority. */
  async write(deadlineMs: number): Promise<void> {
    const { path, encode } = this.#protocol;
    this.#count += 1;
    const request = encode(`${this.#prefix}-${this.#count}`, this.#value);
    const call = this.#connected().request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      "grpc-timeout": `${deadlineMs}m`,
      te: "trailers",
    });
    let status: unknown;
    const look = (headers: Readonly<Record<string, unknown>>) =>
      (status ??= headers["grpc-status"]);
    call.on("response", look);
    call.on("trailers", look);
    call.setTimeout(deadlineMs, () => call.close(constants.NGHTTP2_CANCEL));
    call.resume();
    call.end(frameOf(request, messageBytesMax));
    await once(call, "close");
    if (status !== "0")
      throw new Fault("unavailable", `the write failed with status ${String(status)}`);
  }

  [Symbol.dispose](): void {
    this.#session?.destroy();
  }

  #connected(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = this.#protocol.connect(this.#address);
      // Each call on it fails by itself.
      this.#session.on("error", () => {});
    }
    return this.#session;
  }
}

function ourProtocol({ identity, ...target }: Extract<Target, { kind: "ours" }>): Protocol {
  const { certificate: cert, key, caCertificates: ca } = identity;
  return {
    connect: (address) => {
      const { hostname, port } = new URL(`https://${address}`);
      const createConnection = () =>
        connectTls({
          host: hostname,
          port: Number(port),
          cert,
          key,
          ca,
          minVersion: "TLSv1.3",
          ALPNProtocols: ["h2"],
          servername: "swarm-manager",
          // A manager is who the cluster's authority says that it is, whatever its address.
          checkServerIdentity: (_name, { subject }) =>
            subject.O === target.clusterId ? undefined : new Error("it is another cluster's"),
        });
      return connect(`https://${address}`, { createConnection });
    },
    path: "/swarm.v1.ControlService/CreateConfig",
    encode: (name, data) => {
      const request = create(CreateConfigRequestSchema, { spec: { annotations: { name }, data } });
      return toBinary(CreateConfigRequestSchema, request);
    },
  };
}

/** etcd.io/docs/v3.5/dev-guide/api_reference_v3: KV.Put, of which the key is field 1 and the value field 2. */
function etcdProtocol(kind: "etcd" | "etcd_tls"): Protocol {
  return {
    connect: (address) =>
      kind === "etcd"
        ? connect(`http://${address}`)
        : // Its members made their certificates themselves.
          connect(`https://${address}`, { rejectUnauthorized: false, minVersion: "TLSv1.3" }),
    path: "/etcdserverpb.KV/Put",
    encode: (key, value) => {
      const writer = new BinaryWriter();
      writer.tag(1, WireType.LengthDelimited).string(key);
      writer.tag(2, WireType.LengthDelimited).bytes(value);
      return writer.finish();
    },
  };
}
