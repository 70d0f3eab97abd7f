/**
 * Layers from other nodes instead of the registry, and for other nodes. So N nodes that start the same image load the
 * registry about once, and nodes go on starting images that others have while it is away.
 */
import { Fault } from "#proto/fault.ts";
import type { DispatcherService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Ports } from "#proto/ports.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Reference } from "#registry/reference.ts";
import type { Content } from "../image/content.ts";
import { ImagePeers } from "./image-peers.ts";
import { LayerApi } from "./layer-api.ts";
import { PeerConnections } from "./peer-connections.ts";
import type { Peer } from "./plan.ts";

/** A manager answers from its memory. */
const answerMs = 2_000;

export interface LayerPeersOptions {
  /** This node. */
  readonly nodeId: string;
  readonly clusterId: string;
  /** Resolves when the node's certificate can be used. */
  readonly identity: Promise<TlsIdentityHolder>;
}

/** The session with a manager that stands. */
export interface ManagerSession {
  readonly dispatcher: Pick<Client<typeof DispatcherService>, "findImagePeers">;
  readonly sessionId: string;
}

export class LayerPeers implements Disposable {
  readonly #options: LayerPeersOptions;
  readonly #ports: Ports;
  #connections: PeerConnections | undefined;
  #session: ManagerSession | undefined;
  #isDisposed = false;

  constructor(options: LayerPeersOptions, ports: Ports) {
    this.#options = options;
    this.#ports = ports;
    options.identity.then((identity) => this.#connect(identity)).catch(() => undefined);
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#connections?.[Symbol.dispose]();
  }

  /** Undefined: there is none at the moment. */
  useSession(session: ManagerSession | undefined): void {
    this.#session = session;
  }

  /** For the pull of an image. A tag is the registry's to explain: only of a digest can other nodes say that they have it. */
  of({ digest }: Reference, content: Content): ImagePeers | undefined {
    const { clock, log } = this.#ports;
    const connections = this.#connections;
    if (digest === undefined || connections === undefined) return undefined;
    const find = (imageDigest: string) => this.#find(imageDigest);
    const { nodeId } = this.#options;
    return new ImagePeers(digest, { nodeId, content, connections, find, clock, log });
  }

  handlers(content: Content): LayerApi {
    return new LayerApi(this.#options, { ...this.#ports, content });
  }

  #connect(identity: TlsIdentityHolder): void {
    if (this.#isDisposed) return;
    const { clusterId } = this.#options;
    this.#connections = new PeerConnections({ identity, clusterId }, this.#ports);
  }

  async #find(digest: string): Promise<readonly Peer[]> {
    if (this.#session === undefined) throw new Fault("unavailable", "there is no session");
    const { dispatcher, sessionId } = this.#session;
    const request = { sessionId, digest };
    const { peers } = await dispatcher.findImagePeers(request, { deadlineMs: answerMs });
    return peers.map(({ nodeId, engineAddress: address, holds }) => ({ nodeId, address, holds }));
  }
}
