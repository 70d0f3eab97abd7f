/** What the benchmark of replicated writes runs on: three hosts for each group, and one for the clients, on one LAN. */
import { Lab } from "#lab/lab.ts";
import { together } from "#lab/together.ts";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import { DockerSwarm } from "../peer/docker-swarm.ts";
import { EtcdGroup } from "../peer/etcd.ts";
import { ensurePeerRoot } from "../peer/root.ts";
import { SwarmGroup } from "../peer/swarm-group.ts";
import type { GroundOptions } from "../ground.ts";
import type { Group } from "./group.ts";
import { OurGroup } from "./ours-group.ts";
import type { LoadGroup } from "./raft.ts";

const groupSize = 3;

export class RaftGround implements AsyncDisposable {
  readonly client: Host;
  /** Under load, and killed. */
  readonly loadGroups: readonly LoadGroup[];
  /** Only killed. */
  readonly otherGroups: readonly Group[];
  readonly #resources: AsyncDisposableStack;

  static async up(options: GroundOptions): Promise<RaftGround> {
    await using resources = new AsyncDisposableStack();
    const { peer, signal, onStep } = options;
    const root = peer ? await ensurePeerRoot(options) : undefined;
    const groups = peer ? 4 : 1;
    const lab = await Lab.up({
      name: `bench-raft-${process.pid}`,
      managers: groups * groupSize,
      workers: 1,
      images: [],
      cluster: false,
      ownedByThisProcess: true,
      signal,
      onStep,
    });
    resources.use(lab);
    const client = lab.hosts.at(-1);
    if (client === undefined) throw new Fault("internal", "the lab has no host");
    const hostsOf = (group: number) => lab.hosts.slice(group * groupSize, (group + 1) * groupSize);
    const loadGroups: LoadGroup[] = [];
    const otherGroups: Group[] = [];
    const ours = async (aborted: AbortSignal) => {
      loadGroups[0] = resources.use(await OurGroup.up(hostsOf(0), { client, signal: aborted }));
      onStep("our three managers are ready");
    };
    const etcd = (root: string, at: 1 | 2, tls: boolean) => async (aborted: AbortSignal) => {
      const etcdOptions = { root, client, tls, signal: aborted };
      const made = resources.use(await EtcdGroup.up(hostsOf(at), etcdOptions));
      loadGroups[at] = made;
      onStep(`three members of ${made.name} are ready`);
    };
    const swarm = (root: string) => async (aborted: AbortSignal) => {
      const swarmOptions = { lab: lab.name, root, signal: aborted };
      const made = await DockerSwarm.up(hostsOf(3), swarmOptions);
      otherGroups.push(resources.use(new SwarmGroup(made)));
      onStep("three managers of Docker Swarm are ready");
    };
    const peers =
      root === undefined ? [] : [etcd(root, 1, false), etcd(root, 2, true), swarm(root)];
    await together([ours, ...peers], signal);
    return new RaftGround({ client, loadGroups, otherGroups, resources: resources.move() });
  }

  /** For `up`. */
  constructor(parts: {
    readonly client: Host;
    readonly loadGroups: readonly LoadGroup[];
    readonly otherGroups: readonly Group[];
    readonly resources: AsyncDisposableStack;
  }) {
    this.client = parts.client;
    this.loadGroups = parts.loadGroups;
    this.otherGroups = parts.otherGroups;
    this.#resources = parts.resources;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
