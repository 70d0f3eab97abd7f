/**
 * A unix socket on this machine behind which another host's socket seems to lie: each connection is a process of its own
 * whose input and output are carried there (`ssh HOST swarmctl system dial-stdio …`).
 */
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { once } from "node:events";

/** What carries one connection. */
export interface Carrier {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  kill(): unknown;
  once(event: "close" | "error", listener: () => void): unknown;
}

export class Tunnel implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #dial: () => Promise<Carrier>;
  readonly #sockets = new Set<Socket>();

  constructor(path: string, dial: () => Promise<Carrier>) {
    this.path = path;
    this.#dial = dial;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => void this.#carry(socket));
  }

  static async open(path: string, dial: () => Promise<Carrier>): Promise<Tunnel> {
    const tunnel = new Tunnel(path, dial);
    tunnel.#server.listen(path);
    await once(tunnel.#server, "listening");
    return tunnel;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = new Promise((done) => this.#server.close(done));
    await closed;
    await rm(this.path, { force: true });
  }

  async #carry(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    let carrier: Carrier | undefined;
    const end = () => {
      this.#sockets.delete(socket);
      socket.destroy();
      carrier?.kill();
    };
    socket.once("close", end).on("error", end);
    try {
      carrier = await this.#dial();
    } catch {
      // Why, the next command to the host tells; who dialled sees a connection that ends.
      return end();
    }
    if (socket.destroyed) return end();
    carrier.once("close", end);
    carrier.once("error", end);
    carrier.stdin.on("error", end);
    carrier.stderr.resume();
    socket.pipe(carrier.stdin);
    carrier.stdout.pipe(socket);
  }
}
