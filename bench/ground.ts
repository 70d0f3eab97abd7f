/**
 * What a benchmark runs on: a lab of its own in which each side has as many hosts as the other, on one LAN with one
 * registry. Both are up all the time; only one of them works at any moment.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Lab } from "#lab/lab.ts";
import { ensureImage, repositoryTag } from "#lab/registry/images.ts";
import { together } from "#lab/together.ts";
import { Fault } from "#proto/fault.ts";
import { OurCluster } from "./ours.ts";
import { DockerSwarm } from "./peer/docker-swarm.ts";
import { ensurePeerRoot } from "./peer/root.ts";
import type { Side, Workload } from "./side.ts";
import type { Trial } from "./trial.ts";

/** Of each side. */
const hostCount = 3;

export interface GroundOptions {
  readonly peer: boolean;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export class Ground implements AsyncDisposable {
  readonly lab: Lab;
  /** Ours, then the peer if it was asked for. */
  readonly sides: readonly Side[];
  readonly #image: string;
  readonly #resources: AsyncDisposableStack;

  static async up(options: GroundOptions): Promise<Ground> {
    await using resources = new AsyncDisposableStack();
    const { signal, onStep } = options;
    const root = options.peer ? await ensurePeerRoot(options) : undefined;
    const lab = await Lab.up({
      name: `bench-${process.pid}`,
      workers: (root === undefined ? hostCount : 2 * hostCount) - 1,
      cluster: false,
      ownedByThisProcess: true,
      signal,
      onStep,
    });
    resources.use(lab);
    const sides: Side[] = [];
    const ours = async (aborted: AbortSignal) => {
      sides[0] = resources.use(await OurCluster.up(lab.hosts.slice(0, hostCount), aborted));
      onStep("our cluster is ready: 1 manager, 2 workers");
    };
    const peer = (root: string) => async (aborted: AbortSignal) => {
      const hosts = lab.hosts.slice(hostCount);
      const peerOptions = { lab: lab.name, root, signal: aborted };
      sides[1] = resources.use(await DockerSwarm.up(hosts, peerOptions));
      onStep("Docker Swarm is ready: 3 managers");
    };
    await together(root === undefined ? [ours] : [ours, peer(root)], signal);
    return new Ground({ lab, sides, image: await pinnedImage(), resources: resources.move() });
  }

  /** For `up`. */
  constructor(parts: {
    readonly lab: Lab;
    readonly sides: readonly Side[];
    readonly image: string;
    readonly resources: AsyncDisposableStack;
  }) {
    this.lab = parts.lab;
    this.sides = parts.sides;
    this.#image = parts.image;
    this.#resources = parts.resources;
  }

  trials(signal: AbortSignal): readonly Trial[] {
    return this.sides.map((side) => ({ side, lab: this.lab.name, signal }));
  }

  get ours(): Side {
    const [ours] = this.sides;
    if (ours === undefined) throw new Fault("internal", "our cluster is not up");
    return ours;
  }

  /** A service of containers that do nothing until they are killed: SIGTERM does not end a process 1. */
  sleeper(name: string, replicas: number): Workload {
    return { name, image: this.#image, args: ["sleep", "100000"], replicas };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The busybox image of the lab's registry, by its digest: so Docker's own client names images when it creates a service. */
async function pinnedImage(): Promise<string> {
  const layout = await ensureImage("busybox");
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as Index;
  const digest = index.manifests[0]?.digest;
  if (digest === undefined) throw new Fault("internal", `there is no image in ${layout}`);
  return `registry:5000/${repositoryTag("busybox")}@${digest}`;
}

/** Of an OCI image layout's index, the part that is used. */
interface Index {
  readonly manifests: readonly { readonly digest: string }[];
}
