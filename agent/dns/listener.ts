/** The two sockets of one gateway address: bytes in, bytes out. What they mean is the caller's. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { serveConnection } from "./connection.ts";
import type { Asker } from "./zone.ts";

export type Transport = "udp" | "tcp";

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly networkId: string;
}

export interface ListenerModules {
  /** Whether this asker may have a connection now. */
  readonly admit: (asker: Asker) => boolean;
  /** Never rejects for what is in the bytes; undefined: no reply. */
  readonly answer: (
    bytes: Buffer,
    asker: Asker,
    transport: Transport,
  ) => Buffer | undefined | Promise<Buffer | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

const connectionsMax = 512;
const connectionsPerAskerMax = 16;

/** Room for a burst of a thousand questions, as far as the kernel allows it: one that is lost costs its asker seconds. */
const receiveBufferBytes = 1024 * 1024;
/** Nobody reads: further answers are not kept. */
const unsentBytesMax = 4 * 1024 * 1024;

export class Listener {
  readonly networkId: string;
  readonly #modules: ListenerModules;
  readonly #datagrams: DatagramSocket;
  readonly #server: Server;
  /** Connection → asker. */
  readonly #connections = new Map<Socket, string>();

  static async open(options: ListenerOptions, modules: ListenerModules): Promise<Listener> {
    const listener = new Listener(options, modules);
    try {
      await listener.#bind(options);
      return listener;
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      throw Fault.wrap(`Cannot listen for DNS on ${options.address}:${options.port}`, error);
    }
  }

  /** For `open`. */
  constructor({ networkId, address }: ListenerOptions, modules: ListenerModules) {
    const six = isIPv6(address);
    this.networkId = networkId;
    this.#modules = modules;
    this.#datagrams = createSocket({
      type: six ? "udp6" : "udp4",
      ipv6Only: six,
      // Replies go to addresses, which need no look-up and no turn of the loop for it.
      lookup: (hostname, _options, callback) => callback(null, hostname, six ? 6 : 4),
    });
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#onConnection(socket));
    this.#server.maxConnections = connectionsMax;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections.keys()) connection.destroy();
    const closed = [once(this.#datagrams, "close")];
    this.#datagrams.close();
    if (this.#server.listening) {
      closed.push(once(this.#server, "close"));
      this.#server.close();
    }
    await Promise.all(closed);
  }

  async #bind({ address, port }: ListenerOptions): Promise<void> {
    // Without a look-up it may listen before bind() returns.
    const bound = once(this.#datagrams, "listening");
    this.#datagrams.bind({ address, port });
    await bound;
    this.#datagrams.setRecvBufferSize(receiveBufferBytes);
    this.#server.listen({ host: address, port, ipv6Only: isIPv6(address) });
    await once(this.#server, "listening");
    // From here on an error concerns one packet or one connection, and its sender asks again.
    this.#datagrams.on("error", (error) => this.#onError(error));
    this.#server.on("error", (error) => this.#onError(error));
    this.#datagrams.on("message", (bytes, from) => this.#onDatagram(bytes, from));
  }

  #onDatagram(bytes: Buffer, from: { readonly address: string; readonly port: number }): void {
    const reply = this.#modules.answer(bytes, this.#asker(from.address), "udp");
    if (reply instanceof Promise) {
      void reply.then((late) => this.#send(late, from)).catch((error) => this.#onError(error));
    } else this.#send(reply, from);
  }

  /** Throws when the socket was closed while an answer was on its way. */
  #send(reply: Buffer | undefined, to: { readonly address: string; readonly port: number }): void {
    if (reply === undefined || this.#datagrams.getSendQueueSize() > unsentBytesMax) return;
    this.#datagrams.send(reply, to.port, to.address);
  }

  #onConnection(socket: Socket): void {
    const { admit, answer, clock } = this.#modules;
    const asker = this.#asker(socket.remoteAddress ?? "");
    const { address } = asker;
    const others = this.#connections.values().filter((other) => other === address);
    const isOne = address !== "" && others.toArray().length < connectionsPerAskerMax;
    if (!isOne || !admit(asker)) {
      socket.destroy();
      return;
    }
    this.#connections.set(socket, address);
    socket.on("close", () => this.#connections.delete(socket));
    serveConnection(socket, { answer: (bytes) => answer(bytes, asker, "tcp"), clock });
  }

  #asker(address: string): Asker {
    return { networkId: this.networkId, address };
  }

  #onError(error: unknown): void {
    this.#modules.log.debug("a DNS exchange failed", { reason: Fault.from(error).message });
  }
}
