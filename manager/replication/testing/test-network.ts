/** Loopback connections between servers that a test can break, one way or both, and mend. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** "refused": as if the other side's process had ended. "hole": as if the network were cut. */
export type Way = "open" | "refused" | "hole";

class Relay implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  way: Way = "open";
  /** Where the server behind it listens. */
  targetPort = 0;

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#onConnection(socket));
  }

  static async listen(): Promise<Relay> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Relay(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  set(way: Way): void {
    const before = this.way;
    this.way = way;
    if (way === before) return;
    for (const socket of this.#sockets) {
      if (way === "hole") socket.unpipe().pause();
      else socket.destroy();
    }
  }

  [Symbol.dispose](): void {
    this.set("refused");
    this.#server.close();
  }

  #onConnection(socket: Socket): void {
    this.#keep(socket);
    if (this.way === "refused") socket.destroy();
    if (this.way !== "open") return;
    const target = connect(this.targetPort, "127.0.0.1");
    this.#keep(target);
    socket.setNoDelay(true).pipe(target).setNoDelay(true).pipe(socket);
    socket.on("close", () => target.destroy());
    target.on("close", () => socket.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

export class TestNetwork implements Disposable {
  readonly #relays: readonly (readonly Relay[])[];

  constructor(relays: readonly (readonly Relay[])[]) {
    this.#relays = relays;
  }

  static async create(servers: number): Promise<TestNetwork> {
    const numbers = Array.from({ length: servers }, (_, number) => number);
    const row = () => Promise.all(numbers.map(() => Relay.listen()));
    return new TestNetwork(await Promise.all(numbers.map(row)));
  }

  /** Server `to` listens on this port. */
  serve(to: number, port: number): void {
    for (const row of this.#relays) {
      const relay = row[to];
      if (relay !== undefined) relay.targetPort = port;
    }
  }

  /** Where server `from` reaches server `to`. */
  address(from: number, to: number): string {
    return `127.0.0.1:${this.#relays[from]?.[to]?.port ?? 0}`;
  }

  set(from: number, to: number, way: Way): void {
    this.#relays[from]?.[to]?.set(way);
  }

  /** All ways to and from a server. */
  setAll(server: number, way: Way): void {
    for (const other of this.#relays.keys()) {
      this.set(server, other, way);
      this.set(other, server, way);
    }
  }

  [Symbol.dispose](): void {
    for (const row of this.#relays) for (const relay of row) relay[Symbol.dispose]();
  }
}
