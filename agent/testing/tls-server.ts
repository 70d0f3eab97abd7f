/** A manager's port: gRPC over TLS on loopback, with a certificate of a test's authority. */
import { messageBytesMax } from "#proto/grpc.ts";
import { GrpcServer } from "#proto/grpc-server.ts";
import { systemClock } from "#proto/system-ports.ts";
import type { TestAuthority } from "#proto/testing/test-authority.ts";
import { TlsListener } from "#proto/tls/tls-listener.ts";

export class TlsServer implements Disposable {
  readonly #grpc: GrpcServer;
  readonly #listener: TlsListener;
  readonly address: string;

  /** For `serve`. */
  constructor(grpc: GrpcServer, listener: TlsListener, port: number) {
    this.#grpc = grpc;
    this.#listener = listener;
    this.address = `127.0.0.1:${port}`;
  }

  static async serve(
    authority: TestAuthority,
    addServices: (server: GrpcServer) => void,
  ): Promise<TlsServer> {
    const grpc = new GrpcServer({ messageBytesMax }, { clock: systemClock });
    addServices(grpc);
    const { clusterId } = authority;
    const identity = await authority.holder({ role: "manager" });
    const listener = new TlsListener(
      { identity, clusterId },
      { grpc, forStrangers: grpc, clock: systemClock },
    );
    return new TlsServer(grpc, listener, await listener.listen("127.0.0.1", 0));
  }

  /** As when the process that serves is killed. */
  shutDown(): void {
    this.#listener[Symbol.dispose]();
    this.#grpc.shutDown();
  }

  [Symbol.dispose](): void {
    this.shutDown();
  }
}
