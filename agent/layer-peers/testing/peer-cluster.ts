/** For tests: nodes with image stores of their own that serve each other layers over TLS, and a manager who knows them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Endpoint, serveEndpoint } from "#proto/endpoint.ts";
import {
  FindImagePeersResponseSchema,
  ImagePeerSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { LayerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Connection, type Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { addEngineServices } from "../../api/engine-api.ts";
import { systemExec } from "../../exec.ts";
import { type Image, ImageStore } from "../../image/image-store.ts";
import { LayerPeers } from "../layer-peers.ts";

/** A clock that runs so much faster, that no test waits for deadlines. */
function fastClock(speed: number): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * speed,
    sleep: (ms, signal) => systemClock.sleep(ms / speed, signal),
    timer: (ms, callback) => systemClock.timer(ms / speed, callback),
  };
}

export interface TestPeer {
  readonly nodeId: string;
  readonly address: string;
  holds: boolean;
}

export interface TestNode extends TestPeer {
  readonly store: ImageStore;
  pull(reference: string): Promise<Image>;
  /** Nobody reaches it any more. */
  cutOff(): Promise<void>;
}

export class PeerCluster implements AsyncDisposable {
  /** What the manager says. */
  readonly peers: TestPeer[] = [];
  readonly #authority: TestAuthority;
  readonly #clock: Clock;
  readonly #cleanup = new AsyncDisposableStack();

  /** `speed`: of the nodes' clocks. */
  static async create(speed = 10): Promise<PeerCluster> {
    return new PeerCluster(await TestAuthority.create(), fastClock(speed));
  }

  constructor(authority: TestAuthority, clock: Clock) {
    this.#authority = authority;
    this.#clock = clock;
  }

  /** A node that is getting the image, as the manager says at first. */
  async node(nodeId = newId(systemRandom)): Promise<TestNode> {
    const { clusterId } = this.#authority;
    const holder = this.#authority.holder({ name: nodeId });
    const ports = { clock: this.#clock, random: systemRandom, log: silentLog };
    const options = { nodeId, clusterId, identity: holder };
    const peers = this.#cleanup.use(new LayerPeers(options, ports));
    peers.useSession({ sessionId: "", dispatcher: this.#managerOf(nodeId) });
    const store = await this.#store(peers);
    const endpoint = await this.#serve(nodeId, peers.handlers(store.content));
    const peer: TestNode = {
      nodeId,
      address: endpoint.address,
      holds: false,
      store,
      pull: async (reference) => {
        const image = await store.pull(reference, { signal: AbortSignal.timeout(60_000) });
        peer.holds = true;
        return image;
      },
      cutOff: async () => await endpoint[Symbol.asyncDispose](),
    };
    this.peers.push(peer);
    return peer;
  }

  /** A node of the cluster that answers as it likes, and holds the image as the manager says. */
  async stranger(handlers: Partial<Handlers<typeof LayerService>>): Promise<TestPeer> {
    const nodeId = newId(systemRandom);
    const { address } = await this.#serve(nodeId, handlers);
    const peer = { nodeId, address, holds: true };
    this.peers.push(peer);
    return peer;
  }

  /** To one node from another. */
  async connect(to: TestPeer, nodeId: string): Promise<Connection> {
    const identity = await this.#authority.holder({ name: nodeId });
    const { clusterId } = this.#authority;
    const tls = { kind: "mutual", identity, clusterId, nodeId: to.nodeId } as const;
    return this.#cleanup.use(new Connection(to.address, { tls }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync();
  }

  #managerOf(nodeId: string) {
    return {
      findImagePeers: async () => {
        const others = this.peers.filter((peer) => peer.nodeId !== nodeId);
        const peers = others.map(({ nodeId: id, address, holds }) =>
          create(ImagePeerSchema, { nodeId: id, engineAddress: address, holds }),
        );
        return create(FindImagePeersResponseSchema, { peers });
      },
    };
  }

  async #store(peers: LayerPeers): Promise<ImageStore> {
    const root = await mkdtemp(join(tmpdir(), "test-layer-peers-"));
    this.#cleanup.defer(() => rm(root, { recursive: true, force: true }));
    const platform = { os: "linux", architecture: "amd64" };
    const options = { root, platform, insecureRegistries: [], backoffMs: 5 };
    const ports = { clock: systemClock, random: systemRandom, log: silentLog };
    const modules = { ...ports, exec: systemExec, peers };
    return this.#cleanup.use(await ImageStore.open(options, modules));
  }

  async #serve(nodeId: string, layers: Partial<Handlers<typeof LayerService>>): Promise<Endpoint> {
    const identity = await this.#authority.holder({ name: nodeId });
    const { clusterId } = this.#authority;
    return this.#cleanup.use(
      await serveEndpoint(
        "127.0.0.1:0",
        {
          tls: { identity, clusterId },
          owner: "swarmd",
          addServices: (server) => addEngineServices(server, { layers }),
        },
        { clock: systemClock },
      ),
    );
  }
}
