/** Follows the nodes of a cluster at every manager at once, for whatever one of them shows while others cannot be asked. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#lab/host.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { ChaosCluster } from "./cluster.ts";

const retryMs = 100;

/** A node was shown Down. */
export interface Down {
  readonly hostname: string;
  /** When that was written, ms since 1970. */
  readonly atMs: number;
}

export class NodeWatch implements AsyncDisposable {
  /** By node and version: each once, whoever shows it. */
  readonly #downs = new Map<string, Down>();
  readonly #cluster: ChaosCluster;
  readonly #stop = new AbortController();
  readonly #following: Promise<unknown>;

  constructor(cluster: ChaosCluster) {
    this.#cluster = cluster;
    this.#following = Promise.all(cluster.managers.map((host) => this.#follow(host)));
  }

  get downs(): readonly Down[] {
    return [...this.#downs.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  async #follow(host: Host): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#cluster.ask(
          host,
          async (control) => {
            for await (const { events } of control.watch({ kinds: ["node"] }, { signal })) {
              for (const { action } of events) {
                const shown = action?.object?.object;
                if (shown?.case === "node") this.#note(shown.value);
              }
            }
          },
          { stale: true },
        );
      } catch {
        // Managers come and go here; what one has missed another shows.
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }

  #note({ id, status, meta, description }: Node): void {
    if (status?.state !== NodeState.DOWN) return;
    const atMs = meta?.updatedAt === undefined ? 0 : msFromTimestamp(meta.updatedAt);
    const hostname = description?.hostname ?? id;
    this.#downs.set(`${id} ${meta?.version?.index}`, { hostname, atMs });
  }
}
