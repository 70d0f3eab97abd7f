/**
 * A program that stands in one namespace: it serves TCP and UDP over both families, saying who it is and whom it sees, and
 * asks others on command. One process per namespace, since starting one costs more than a hundred questions. Commands and
 * answers travel over Node's channel. Arguments: its name, then the ports to serve.
 */
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";

export type Protocol = "tcp" | "udp";

export interface Target {
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
  readonly localPort?: number;
}

export type Command =
  /** One question after another, each in a flow of its own. */
  | { readonly kind: "ask"; readonly target: Target; readonly count: number }
  | { readonly kind: "open"; readonly target: Target }
  /** Sends so many bytes in an open flow and waits for what comes back. */
  | { readonly kind: "exchange"; readonly flow: number; readonly bytes: number }
  | { readonly kind: "close"; readonly flow: number }
  /** A text many times over: something to look for on the wire, or many bytes. */
  | {
      readonly kind: "pour";
      readonly target: Target;
      readonly text: string;
      readonly times: number;
    }
  | {
      readonly kind: "datagram";
      readonly address: string;
      readonly port: number;
      readonly payload: Uint8Array;
    }
  | {
      readonly kind: "resolve";
      readonly protocol: Protocol;
      readonly server: string;
      readonly name: string;
      readonly type: "A" | "AAAA" | "PTR";
    };

export interface Question {
  readonly id: number;
  readonly command: Command;
}

/** What came back, or an error's code: "a2 10.100.1.11", "ECONNREFUSED", "timeout". */
export interface Reply {
  readonly id: number;
  readonly texts: readonly string[];
  readonly ms: number;
  /** Of `open`. */
  readonly flow?: number;
}

/** Longer than the second after which the kernel repeats a SYN: what was lost once is found all the same. */
const patienceMs = 1_500;

const [name = "", ...ports] = process.argv.slice(2);

/** A kept flow: either kind of socket, with a way to send and to await the next answer. */
interface Flow {
  readonly first: string;
  exchange(bytes: number): Promise<string>;
  close(): void;
}

const flows = new Map<number, Flow>();
let lastFlow = 0;

function addressFamily(address: string): "udp4" | "udp6" {
  return address.includes(":") ? "udp6" : "udp4";
}

async function serveTcp(port: number, host: string): Promise<void> {
  const server = createServer((socket) => {
    const line = `${name} ${socket.remoteAddress} ${socket.remotePort}\n`;
    socket.on("error", () => {});
    socket.on("data", () => socket.write(line));
    socket.write(line);
  });
  server.listen({ port, host, ipv6Only: host === "::", backlog: 512 });
  await once(server, "listening");
}

async function serveUdp(port: number, address: string): Promise<void> {
  const type = addressFamily(address);
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("error", () => {});
  socket.on("message", (bytes, peer) => {
    socket.send(`${name} ${peer.address} ${peer.port} ${bytes.length}\n`, peer.port, peer.address);
  });
  socket.bind(port, address);
  await once(socket, "listening");
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "AbortError") return "timeout";
  return "code" in error ? String(error.code) : error.message;
}

function connectTcp({ address, port, localPort }: Target): Socket {
  const local = localPort === undefined ? {} : { localPort };
  const socket = connect({ host: address, port, ...local });
  // Whoever waits hears of it; a flow that nobody waits on may end.
  socket.on("error", () => {});
  return socket;
}

async function connectUdp({ address, port, localPort }: Target): Promise<Datagrams> {
  const socket = createSocket({ type: addressFamily(address), reuseAddr: true });
  socket.on("error", () => {});
  socket.bind(localPort ?? 0);
  await once(socket, "listening");
  socket.connect(port, address);
  await once(socket, "connect");
  return socket;
}

async function nextTcp(socket: Socket): Promise<string> {
  if (socket.errored !== null) throw socket.errored;
  if (socket.readableEnded) return "end";
  const signal = AbortSignal.timeout(patienceMs);
  const [data] = await Promise.race([
    once(socket, "data", { signal }),
    once(socket, "end", { signal }).then(() => ["end"]),
  ]);
  return String(data).trim().split("\n").at(-1) ?? "";
}

async function nextUdp(socket: Datagrams, bytes: number): Promise<string> {
  const answered = once(socket, "message", { signal: AbortSignal.timeout(patienceMs) });
  const sent = new Promise<void>((resolve, reject) => {
    socket.send(Buffer.alloc(bytes, "x"), (error) => (error === null ? resolve() : reject(error)));
  });
  // An error of the send is often the news of the packet before; then no answer is awaited.
  const [[message]] = await Promise.all([answered, sent]);
  return String(message).trim();
}

async function openFlow(target: Target): Promise<Flow> {
  if (target.protocol === "tcp") {
    const socket = connectTcp(target);
    return {
      first: await nextTcp(socket),
      exchange(bytes) {
        if (!socket.writable) return Promise.resolve(codeOf(socket.errored ?? "end"));
        const next = nextTcp(socket);
        socket.write(Buffer.alloc(bytes, "x"));
        return next;
      },
      // Not into TIME_WAIT: a local port may be asked for again.
      close: () => socket.resetAndDestroy(),
    };
  }
  const socket = await connectUdp(target);
  return {
    first: await nextUdp(socket, 1),
    exchange: (bytes) => nextUdp(socket, bytes),
    close: () => socket.close(),
  };
}

async function ask(target: Target): Promise<string> {
  if (target.protocol === "tcp") {
    const socket = connectTcp(target);
    try {
      return await nextTcp(socket);
    } finally {
      socket.resetAndDestroy();
    }
  }
  const socket = await connectUdp(target);
  try {
    return await nextUdp(socket, 1);
  } finally {
    socket.close();
  }
}

async function pour(target: Target, text: string, times: number): Promise<string> {
  const socket = connectTcp(target);
  try {
    await nextTcp(socket);
    const echoed = nextTcp(socket);
    socket.resume();
    await new Promise<void>((resolve, reject) => {
      socket.write(text.repeat(times), (error) => (error ? reject(error) : resolve()));
    });
    return await echoed;
  } finally {
    socket.destroy();
  }
}

async function sendDatagram(address: string, port: number, payload: Uint8Array): Promise<string> {
  const socket = createSocket(addressFamily(address));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.send(payload, port, address, (error) => (error === null ? resolve() : reject(error)));
    });
    return "sent";
  } finally {
    socket.close();
  }
}

async function resolveName(command: Extract<Command, { kind: "resolve" }>): Promise<string> {
  const { protocol, server, name: wanted, type } = command;
  const query: Packet = {
    type: "query",
    id: 1 + Math.floor(Math.random() * 0xfffe),
    flags: 0x100,
    questions: [{ name: wanted, type }],
  };
  const signal = AbortSignal.timeout(patienceMs);
  if (protocol === "tcp") {
    const socket = connectTcp({ protocol, address: server, port: 53 });
    try {
      await once(socket, "connect", { signal });
      socket.write(streamEncode(query));
      const [data] = await once(socket, "data", { signal });
      return answersOf(streamDecode(data as Buffer));
    } finally {
      socket.resetAndDestroy();
    }
  }
  const socket = await connectUdp({ protocol, address: server, port: 53 });
  try {
    const answered = once(socket, "message", { signal });
    socket.send(encode(query));
    const [message] = await answered;
    return answersOf(decode(message as Buffer));
  } finally {
    socket.close();
  }
}

// The types of dns-packet do not know the code that it decodes.
function answersOf(packet: Packet & { readonly rcode?: string }): string {
  if (packet.rcode !== "NOERROR") return String(packet.rcode);
  const data = (packet.answers ?? []).flatMap((answer) =>
    "data" in answer && typeof answer.data === "string" ? answer.data : [],
  );
  return data.toSorted().join(" ");
}

async function perform(command: Command): Promise<{ texts: string[]; flow?: number }> {
  switch (command.kind) {
    case "ask": {
      const texts: string[] = [];
      for (let index = 0; index < command.count; index += 1) {
        texts.push(await ask(command.target).catch(codeOf));
      }
      return { texts };
    }
    case "open": {
      const flow = await openFlow(command.target);
      lastFlow += 1;
      flows.set(lastFlow, flow);
      return { texts: [flow.first], flow: lastFlow };
    }
    case "exchange":
      return { texts: [(await flows.get(command.flow)?.exchange(command.bytes)) ?? "no flow"] };
    case "close":
      flows.get(command.flow)?.close();
      flows.delete(command.flow);
      return { texts: [] };
    case "pour":
      return { texts: [await pour(command.target, command.text, command.times)] };
    case "datagram":
      return { texts: [await sendDatagram(command.address, command.port, command.payload)] };
    case "resolve":
      return { texts: [await resolveName(command)] };
  }
}

process.on("message", ({ id, command }: Question) => {
  const start = performance.now();
  void perform(command)
    .catch((error: unknown) => ({ texts: [codeOf(error)] }))
    .then((result) => process.send?.({ ...result, id, ms: performance.now() - start }));
});

await Promise.all(
  ports
    .map(Number)
    .flatMap((port) => [
      serveTcp(port, "0.0.0.0"),
      serveTcp(port, "::"),
      serveUdp(port, "0.0.0.0"),
      serveUdp(port, "::"),
    ]),
);
process.send?.("ready");
