/** A gRPC server on a unix socket of its own, and one connection to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "@grpc/grpc-js";
import { channelOptions, Connection } from "../grpc.ts";
import { identifiedCredentials } from "../tls/identified-credentials.ts";

export class TestServer implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "swarm-grpc-"));
  readonly #server = new Server(channelOptions);
  readonly address = `unix:${join(this.#folder, "socket")}`;
  readonly connection = new Connection(this.address, { metadata: { who: "me" } });

  static async serve(addServices: (server: Server) => void): Promise<TestServer> {
    const test = new TestServer();
    addServices(test.#server);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const credentials = identifiedCredentials({ kind: "local" });
    test.#server.bindAsync(test.address, credentials, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
    await promise;
    return test;
  }

  /** As when the process that serves is killed. */
  shutDown(): void {
    this.#server.forceShutdown();
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.shutDown();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
