/** The two sockets of one gateway address: bytes in, bytes out. What they mean is the caller's. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import type { Transport } from "./forwarder.ts";
import { StreamReader, streamMessage } from "./stream.ts";
import type { Asker } from "./zone.ts";

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly networkId: string;
}

export interface ListenerModules {
  /** Never rejects for what is in the bytes; undefined: no reply. */
  readonly answer: (
    bytes: Buffer,
    asker: Asker,
    transport: Transport,
  ) => Promise<Buffer | undefined>;
  readonly log: Log;
}

const connectionsMax = 128;
const connectionIdleMs = 10_000;

export class Listener {
  readonly networkId: string;
  readonly #modules: ListenerModules;
  readonly #datagrams: DatagramSocket;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();

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
    this.networkId = networkId;
    this.#modules = modules;
    this.#datagrams = createSocket({
      type: isIPv6(address) ? "udp6" : "udp4",
      ipv6Only: isIPv6(address),
    });
    this.#server = createServer({ allowHalfOpen: true }, (connection) =>
      this.#onConnection(connection),
    );
    this.#server.maxConnections = connectionsMax;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const closed = [once(this.#datagrams, "close")];
    this.#datagrams.close();
    if (this.#server.listening) {
      closed.push(once(this.#server, "close"));
      this.#server.close();
    }
    await Promise.all(closed);
  }

  async #bind({ address, port }: ListenerOptions): Promise<void> {
    this.#datagrams.bind({ address, port });
    await once(this.#datagrams, "listening");
    this.#server.listen({ host: address, port, ipv6Only: isIPv6(address) });
    await once(this.#server, "listening");
    // From here on an error concerns one packet or one connection, and its sender asks again.
    this.#datagrams.on("error", (error) => this.#onError(error));
    this.#server.on("error", (error) => this.#onError(error));
    this.#datagrams.on("message", (bytes, from) => void this.#onDatagram(bytes, from));
  }

  async #onDatagram(
    bytes: Buffer,
    from: { readonly address: string; readonly port: number },
  ): Promise<void> {
    try {
      const reply = await this.#modules.answer(bytes, this.#asker(from.address), "udp");
      if (reply !== undefined) this.#datagrams.send(reply, from.port, from.address);
    } catch (error) {
      // The sockets may have been closed while the answer was on its way.
      this.#onError(error);
    }
  }

  #onConnection(connection: Socket): void {
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.setTimeout(connectionIdleMs, () => connection.destroy());
    const asker = this.#asker(connection.remoteAddress ?? "");
    const replies = (chunks: AsyncIterable<Buffer>) => this.#converse(chunks, asker);
    pipeline(connection, replies, connection).catch((error: unknown) => this.#onError(error));
  }

  /** One query after the other; who does not read the replies is not read from either. */
  async *#converse(chunks: AsyncIterable<Buffer>, asker: Asker): AsyncGenerator<Buffer> {
    const reader = new StreamReader();
    for await (const chunk of chunks) {
      for (const bytes of reader.push(chunk)) {
        const reply = await this.#modules.answer(bytes, asker, "tcp");
        if (reply !== undefined) yield streamMessage(reply);
      }
    }
  }

  #asker(address: string): Asker {
    return { networkId: this.networkId, address };
  }

  #onError(error: unknown): void {
    this.#modules.log.debug("a DNS exchange failed", { reason: Fault.from(error).message });
  }
}
