/**
 * Inside a namespace: has backends answer datagrams with their own addresses, and asks them from any of the namespace's
 * addresses. Each question has a port of its own, and so is a new flow.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

export type AskerCall =
  | { readonly kind: "serve"; readonly addresses: readonly string[]; readonly port: number }
  | {
      readonly kind: "ask";
      /** One question from each, in this order. */
      readonly sources: readonly string[];
      readonly address: string;
      readonly port: number;
    };

function socketFor(address: string): Socket {
  return createSocket(address.includes(":") ? "udp6" : "udp4");
}

async function serve(address: string, port: number): Promise<void> {
  const socket = socketFor(address);
  socket.on("message", (_, peer) => socket.send(address, peer.port, peer.address));
  socket.bind(port, address);
  await once(socket, "listening");
}

async function ask(source: string, address: string, port: number): Promise<string> {
  const socket = socketFor(address);
  try {
    socket.bind(0, source);
    await once(socket, "listening");
    socket.connect(port, address);
    await once(socket, "connect");
    const answered = once(socket, "message", { signal: AbortSignal.timeout(2_000) });
    socket.send("?");
    const [message] = await answered;
    return String(message);
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  } finally {
    socket.close();
  }
}

async function perform(call: AskerCall): Promise<readonly string[]> {
  const answers: string[] = [];
  if (call.kind === "serve") {
    for (const address of call.addresses) await serve(address, call.port);
  } else {
    for (const source of call.sources) answers.push(await ask(source, call.address, call.port));
  }
  return answers;
}

process.on("message", (call: AskerCall) => {
  void perform(call).then((answers) => process.send?.(answers));
});
process.send?.("ready");
