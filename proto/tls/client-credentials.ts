/**
 * TLS 1.3 from a client's side, for grpc-js. The other side is known by its certificate: which authority signed it, for
 * which cluster, and that it is a manager's, or whose it is. Host names and addresses do not matter.
 */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { CallCredentials, ChannelCredentials, type experimental } from "@grpc/grpc-js";
import type { TlsIdentity } from "../manager-messages.ts";
import { Fault } from "../fault.ts";
import { identityOf } from "./certificate.ts";
import { certificateProblem } from "./certificate-problem.ts";
import type { TlsIdentityHolder } from "./tls-identity-holder.ts";

export type ClientTls =
  /** Both sides show a certificate; the other one must be a manager of this cluster, or the node that is named. */
  | {
      readonly kind: "mutual";
      readonly identity: TlsIdentityHolder;
      readonly clusterId: string;
      readonly nodeId?: string;
    }
  /** For joining: the other side must be a manager that this root vouches for; this side shows nothing. */
  | { readonly kind: "server-only"; readonly caCertificates: string }
  /** Only to fetch the root certificate, whose digest is then checked. */
  | { readonly kind: "unverified" };

/** From the TCP connection to the end of the handshake. */
const handshakeMs = 5_000;

/** What is asked for by SNI. An IP address may not stand there, and nobody looks at it. */
const serverName = "swarm-manager";

export class TlsChannelCredentials extends ChannelCredentials {
  readonly #tls: ClientTls;
  readonly #contexts = new ContextCache();

  constructor(tls: ClientTls) {
    super();
    this.#tls = tls;
  }

  override _isSecure(): boolean {
    return true;
  }

  /** Connections are not shared: each may show another identity. */
  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): experimental.SecureConnector {
    return {
      connect: async (socket) => ({ socket: await this.#connect(socket), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  async #connect(socket: Socket): Promise<TLSSocket> {
    const secureContext = this.#contexts.get(this.#tls);
    const secured = await shakeHands({
      socket,
      secureContext,
      servername: serverName,
      ALPNProtocols: ["h2"],
      // So that what is wrong with a certificate can be told: see `serverProblem`.
      rejectUnauthorized: false,
      // By certificate, not by name.
      checkServerIdentity: () => undefined,
    });
    const problem = serverProblem(this.#tls, secured);
    if (problem === undefined) return secured;
    secured.destroy();
    throw new Fault("unavailable", problem);
  }
}

/** The context of the identity that is shown now; making one parses keys and certificates. */
class ContextCache {
  #identity: TlsIdentity | undefined;
  #context: SecureContext | undefined;

  get(tls: ClientTls): SecureContext {
    const identity = tls.kind === "mutual" ? tls.identity.current : undefined;
    if (this.#context === undefined || identity !== this.#identity) {
      this.#identity = identity;
      this.#context = contextOf(tls, identity);
    }
    return this.#context;
  }
}

function contextOf(tls: ClientTls, identity: TlsIdentity | undefined): SecureContext {
  const minVersion = "TLSv1.3" as const;
  if (identity !== undefined) {
    const { certificate: cert, key, caCertificates: ca } = identity;
    return createSecureContext({ minVersion, cert, key, ca });
  }
  // Never the authorities that the system trusts.
  return createSecureContext({
    minVersion,
    ca: tls.kind === "server-only" ? tls.caCertificates : [],
  });
}

function shakeHands(options: ConnectionOptions & { readonly socket: Socket }): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = connect(options);
    const settle = (act: () => void) => {
      secured.setTimeout(0);
      secured.off("close", onClose);
      act();
    };
    const fail = (message: string) => () => {
      secured.destroy();
      reject(new Fault("unavailable", `Cannot agree on TLS: ${message}`));
    };
    const onClose = () => settle(fail("the other side closed the connection"));
    secured.once("secureConnect", () => settle(() => resolve(secured)));
    // Stays: an error without a listener would end the process.
    secured.on("error", (error) => settle(fail(handshakeProblem(error))));
    secured.once("close", onClose);
    secured.setTimeout(handshakeMs, () => settle(fail(`no answer in ${handshakeMs / 1000} s`)));
  });
}

/** OpenSSL's errors are full of its insides, but for the reason. */
function handshakeProblem(error: Error): string {
  const reason = "reason" in error && typeof error.reason === "string" ? error.reason : undefined;
  if (reason === "wrong version number") return "the other side does not speak TLS";
  return reason ?? Fault.from(error).message;
}

/** Why the other side is not the manager that is wanted; undefined: it is. */
function serverProblem(tls: ClientTls, secured: TLSSocket): string | undefined {
  if (secured.alpnProtocol !== "h2") return "the other side does not speak HTTP/2";
  if (tls.kind === "unverified") return undefined;
  const certificate = secured.getPeerX509Certificate();
  const problem =
    certificate === undefined
      ? "it shows no certificate"
      : (chainProblem(secured, certificate) ?? identityProblem(tls, certificate));
  const isNode = tls.kind === "mutual" && tls.nodeId !== undefined;
  return problem && `Cannot trust the ${isNode ? "node" : "manager"}: ${problem}`;
}

function chainProblem(secured: TLSSocket, certificate: X509Certificate): string | undefined {
  if (secured.authorized) return undefined;
  return certificateProblem(String(secured.authorizationError), certificate, Date.now());
}

function identityProblem(
  tls: Exclude<ClientTls, { readonly kind: "unverified" }>,
  certificate: X509Certificate,
): string | undefined {
  const identity = identityOf(certificate);
  const wanted = tls.kind === "mutual" ? tls.nodeId : undefined;
  if (identity?.kind !== "node" || (wanted === undefined && identity.role !== "manager")) {
    return `its certificate is not a ${wanted === undefined ? "manager" : "node"}'s`;
  }
  if (wanted !== undefined && identity.nodeId !== wanted) {
    return `another node answers there, ${identity.nodeId}`;
  }
  if (tls.kind === "mutual" && identity.clusterId !== tls.clusterId) {
    return `it belongs to another cluster, ${identity.clusterId}, not to ${tls.clusterId}`;
  }
  return undefined;
}
