/** Nameservers of tests: UDP and TCP of one port on loopback addresses, which answer what a test wants. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6 } from "node:net";
import type { TestContext } from "node:test";
import { type Answer, decode, encode, type Packet } from "dns-packet";
import { StreamReader, streamMessage } from "../stream.ts";

/** Undefined: no reply. */
export type Behaviour = (asked: Buffer, transport: "udp" | "tcp") => Buffer | undefined;

export interface TestUpstream {
  readonly address: string;
  readonly port: number;
  /** What came, in order. */
  readonly asked: { readonly transport: "udp" | "tcp"; readonly packet: Packet }[];
}

export async function openUpstream(
  t: TestContext,
  behave: Behaviour = (asked) => replyTo(asked),
  { address = "127.88.0.2", port = 0 } = {},
): Promise<TestUpstream> {
  const asked: TestUpstream["asked"] = [];
  const answer = (bytes: Buffer, transport: "udp" | "tcp") => {
    asked.push({ transport, packet: decode(bytes) });
    return behave(bytes, transport);
  };
  const stream = createServer((socket) => {
    const reader = new StreamReader();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const message of reader.push(chunk)) {
        const reply = answer(message, "tcp");
        if (reply !== undefined) socket.write(streamMessage(reply));
      }
    });
  });
  stream.listen({ host: address, port });
  await once(stream, "listening");
  const bound = stream.address();
  assert(bound !== null && typeof bound === "object");
  const datagrams = createSocket(isIPv6(address) ? "udp6" : "udp4");
  datagrams.on("message", (bytes, from) => {
    const reply = answer(bytes, "udp");
    if (reply !== undefined) datagrams.send(reply, from.port, from.address);
  });
  datagrams.bind(bound.port, address);
  await once(datagrams, "listening");
  t.after(() => {
    datagrams.close();
    stream.close();
  });
  return { address, port: bound.port, asked };
}

const address: Answer = { type: "A", name: "example.test", ttl: 60, data: "192.0.2.1" };

/** By default one address. */
export function replyTo(asked: Buffer, more: Packet = {}): Buffer {
  const { id = 0, questions = [] } = decode(asked);
  return encode({ type: "response", id, questions, answers: [address], ...more });
}
