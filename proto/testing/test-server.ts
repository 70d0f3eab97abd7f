/** A gRPC server that anybody may call, on a unix socket of its own or on a port of loopback, and a connection to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ListenOptions } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection, messageBytesMax } from "../grpc.ts";
import { GrpcServer } from "../grpc-server.ts";
import { systemClock } from "../system-ports.ts";

export class TestServer implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "swarm-grpc-"));
  readonly grpc = new GrpcServer({ messageBytesMax }, { clock: systemClock });
  readonly #listener = createServer((socket) => this.grpc.serve(socket, { kind: "local" }));
  #address = "";
  #connection: Connection | undefined;

  static async serve(addServices: (server: GrpcServer) => void): Promise<TestServer> {
    const test = new TestServer();
    addServices(test.grpc);
    const path = join(test.#folder, "socket");
    await test.#listen({ path });
    test.#address = `unix:${path}`;
    return test;
  }

  /** On a port, before it is known what it serves. */
  static async onPort(): Promise<TestServer> {
    const test = new TestServer();
    await test.#listen({ host: "127.0.0.1", port: 0 });
    const bound = test.#listener.address();
    test.#address = `127.0.0.1:${typeof bound === "object" ? bound?.port : ""}`;
    return test;
  }

  get address(): string {
    return this.#address;
  }

  get connection(): Connection {
    this.#connection ??= new Connection(this.#address, { metadata: { who: "me" } });
    return this.#connection;
  }

  /** As when the process that serves is killed. */
  shutDown(): void {
    this.#listener.close();
    this.grpc.shutDown();
  }

  [Symbol.dispose](): void {
    this.#connection?.[Symbol.dispose]();
    this.shutDown();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #listen(place: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen(place, resolve);
    });
  }
}
