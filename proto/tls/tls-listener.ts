/**
 * TLS 1.3 from a server's side: a listener whose connections a gRPC server takes over when it is known who is at the other
 * end.
 *
 * Everybody may connect: a client without a certificate, or with one that is not good, is "anonymous", and each
 * method's rule says what that is worth. What does not speak TLS 1.3 and HTTP/2, or says nothing, is cut off.
 */
import { constants, type X509Certificate } from "node:crypto";
import { type AddressInfo, isIPv6, type Socket } from "node:net";
import { createServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import type { Caller } from "../caller.ts";
import type { GrpcServer } from "../grpc-server.ts";
import type { TlsIdentity } from "../manager-messages.ts";
import type { Clock } from "../ports.ts";
import { identityOf, parseCertificate, splitCertificates } from "./certificate.ts";
import { certificateProblem } from "./certificate-problem.ts";
import type { TlsIdentityHolder } from "./tls-identity-holder.ts";

export interface ServerTls {
  readonly identity: TlsIdentityHolder;
  readonly clusterId: string;
}

/** A client that has not finished its handshake by then is cut off. */
const handshakeMs = 5_000;

/** Connections of anonymous clients, who are few: hosts that join. Those who are known get in in any case. */
const strangersMax = 256;

/** A host that joins makes a call or two: whoever stays for longer takes the place of others. */
const strangerMs = 60_000;

/** What serves the connections. */
export interface Servers {
  readonly grpc: GrpcServer;
  /** For anonymous clients, with limits to what they can make it hold. */
  readonly forStrangers: GrpcServer;
}

export class TlsListener implements Disposable {
  readonly #tls: ServerTls;
  readonly #servers: Servers;
  readonly #clock: Clock;
  readonly #listener: TlsServer;
  readonly #watch: Disposable;
  /** Also those in the middle of a handshake. */
  readonly #sockets = new Set<Socket>();
  #strangers = 0;
  /** Of users: nodes are looked up at each call, for users nobody but the roots speaks. */
  readonly #userCertificates = new Map<TLSSocket, X509Certificate>();

  constructor(tls: ServerTls, { clock, ...servers }: Servers & { readonly clock: Clock }) {
    this.#tls = tls;
    this.#servers = servers;
    this.#clock = clock;
    const options = {
      ...contextOptions(tls.identity.current),
      requestCert: true,
      // Whoever is not authorised is served as "anonymous".
      rejectUnauthorized: false,
      handshakeTimeout: handshakeMs,
      ALPNProtocols: ["h2"],
      noDelay: true,
    };
    this.#listener = createServer(options, (socket) => this.#onConnection(socket));
    // Node leaves the socket open when time is up. Strangers' garbage is not worth a log line.
    this.#listener.on("tlsClientError", (_error, socket) => socket.destroy());
    this.#listener.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#watch = tls.identity.watch((identity) => this.#onIdentity(identity));
  }

  /** Resolves with the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen({ host, port, ipv6Only: isIPv6(host) && host !== "::" }, () => {
        this.#listener.off("error", reject);
        // Of a socket that is taken from the queue and is gone already, for one: no reason to end.
        this.#listener.on("error", () => {});
        resolve((this.#listener.address() as AddressInfo).port);
      });
    });
  }

  /** Takes no more connections. */
  stop(): void {
    this.#watch[Symbol.dispose]();
    this.#listener.close();
  }

  /** Ends all connections. */
  [Symbol.dispose](): void {
    this.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** A user whose root is not trusted any more is cut off, who may be why it is not. */
  #onIdentity(identity: TlsIdentity): void {
    this.#listener.setSecureContext(contextOptions(identity));
    const roots = splitCertificates(identity.caCertificates).map(parseCertificate);
    for (const [socket, certificate] of this.#userCertificates) {
      if (!roots.some(({ publicKey }) => certificate.verify(publicKey))) socket.destroy();
    }
  }

  #onConnection(socket: TLSSocket): void {
    socket.on("error", () => {});
    if (socket.alpnProtocol !== "h2") {
      socket.destroy();
      return;
    }
    const caller = this.#callerOf(socket);
    const isStranger = caller.kind === "anonymous";
    if (isStranger && this.#strangers >= strangersMax) {
      socket.destroy();
      return;
    }
    if (isStranger) this.#strangers += 1;
    const certificate = socket.getPeerX509Certificate();
    if (caller.kind === "user" && certificate !== undefined) {
      this.#userCertificates.set(socket, certificate);
    }
    const end = isStranger ? this.#clock.timer(strangerMs, () => socket.destroy()) : undefined;
    socket.once("close", () => {
      end?.[Symbol.dispose]();
      if (isStranger) this.#strangers -= 1;
      this.#userCertificates.delete(socket);
    });
    const { grpc, forStrangers } = this.#servers;
    (isStranger ? forStrangers : grpc).serve(socket, caller);
  }

  #callerOf(socket: TLSSocket): Caller {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return { kind: "anonymous", problem: "it shows no certificate" };
    const problem = this.#problemOf(socket, certificate);
    if (problem !== undefined) return { kind: "anonymous", problem };
    const caller = identityOf(certificate);
    if (caller === undefined) {
      return { kind: "anonymous", problem: "its certificate is neither a node's nor a user's" };
    }
    const { clusterId } = this.#tls;
    if (caller.clusterId === clusterId) return caller;
    const other = `the certificate is of another cluster, ${caller.clusterId}, not of ${clusterId}`;
    return { kind: "anonymous", problem: other };
  }

  #problemOf(socket: TLSSocket, certificate: X509Certificate): string | undefined {
    if (socket.authorized) return undefined;
    return certificateProblem(String(socket.authorizationError), certificate, this.#clock.now());
  }
}

function contextOptions({ certificate, key, caCertificates }: TlsIdentity) {
  return {
    minVersion: "TLSv1.3",
    cert: certificate,
    key,
    ca: caCertificates,
    // No tickets: a session that is resumed would not be verified again.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
}
