/** The nameserver on loopback addresses, with one of the test's as the host's. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { decode, encode, type Packet, streamEncode } from "dns-packet";
import { NetworkEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { DnsServer } from "../dns-server.ts";
import { StreamReader } from "../stream.ts";
import { type Behaviour, openUpstream, type TestUpstream } from "./upstream.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };

/** Tasks' own nameservers, by the tasks' addresses. */
export type OwnServers = Readonly<Record<string, readonly string[]>>;

export function networkOn(
  id: string,
  gateway: string,
  spec: { internal?: boolean; ingress?: boolean } = {},
) {
  return create(NetworkSchema, {
    id,
    spec: { ...spec, annotations: { name: id } },
    ipam: { configs: [{ subnet: `${gateway}/24`, gateway }] },
  });
}

export function endpoints(networkId: string, service: string, count: number) {
  return Array.from({ length: count }, (_, index) =>
    create(NetworkEndpointSchema, {
      taskId: `${service}${index}`,
      networkId,
      address: `10.0.${index >> 8}.${index & 255}`,
      serviceName: service,
      serving: true,
    }),
  );
}

export interface Setup {
  readonly server: DnsServer;
  readonly port: number;
  readonly upstream: TestUpstream;
}

/** Without `behave` the host has no nameserver. */
export async function setUp(
  t: TestContext,
  behave?: Behaviour,
  { clock = systemClock, own = {} }: { clock?: Clock; own?: OwnServers } = {},
): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), "dns-"));
  t.after(() => rm(folder, { recursive: true }));
  const resolvConf = join(folder, "resolv.conf");
  const upstream = await openUpstream(t, behave);
  const known = behave === undefined ? "search test" : `nameserver ${upstream.address}`;
  await writeFile(resolvConf, `${known}\n`);
  const port = await freePort();
  const options = { port, resolvConf, upstreamPort: upstream.port, upstreamDeadlineMs: 500 };
  const nameserversOf = (address: string) => own[address] ?? [];
  const server = new DnsServer(options, { ...ports, clock, nameserversOf });
  t.after(() => server[Symbol.asyncDispose]());
  return { server, port, upstream };
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await bind(socket, "127.88.0.1");
  const { port } = socket.address();
  socket.close();
  return port;
}

type Type = "A" | "AAAA" | "PTR" | "SRV" | "ANY" | "TXT";

export async function ask(
  name: string,
  { server = "127.88.0.1", port = 0, type = "A" as Type, from = "" },
) {
  const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
  try {
    if (from !== "") await bind(socket, from);
    const question = { type: type as "A", name };
    const query = encode({ type: "query", id: 9, flags: 0x100, questions: [question] });
    return decode(await exchange(socket, query, { server, port }));
  } finally {
    socket.close();
  }
}

export async function bind(socket: Socket, address: string): Promise<void> {
  socket.bind(0, address);
  await once(socket, "listening");
}

async function exchange(
  socket: Socket,
  bytes: Buffer,
  to: { server: string; port: number },
): Promise<Buffer> {
  const answered = once(socket, "message", { signal: AbortSignal.timeout(5_000) });
  socket.send(bytes, to.port, to.server);
  const [reply] = await answered;
  return reply;
}

export const code = (packet: Packet & { rcode?: string }) => packet.rcode;
export const data = (packet: Packet) =>
  packet.answers?.map((answer) => ("data" in answer ? answer.data : ""));

export async function askStream(name: string, port: number): Promise<Packet> {
  const stream = connect({ host: "127.88.0.1", port });
  // Closing its half, as some resolvers do, the asker still wants the answer.
  stream.end(streamEncode({ type: "query", id: 9, questions: [{ type: "A", name }] }));
  for await (const reply of repliesOf(stream)) return reply;
  throw new Error("the nameserver hung up");
}

export async function* repliesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Packet> {
  const reader = new StreamReader();
  for await (const chunk of stream) {
    for (const message of reader.push(chunk)) yield decode(message);
  }
}
