/** What tests of several managers do and look at again and again. */
import type { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { waitFor } from "#lab/wait.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";

export async function swarmctl(host: Host, ...args: readonly string[]): Promise<string> {
  return (await host.run("swarmctl", args)).trimEnd();
}

export async function joinToken(manager: Host, role: "worker" | "manager"): Promise<string> {
  return await swarmctl(manager, "cluster", "join-token", "-q", role);
}

/** Of `swarmctl cluster info`, the part that is used. */
export interface Info {
  readonly nodeId?: string;
  readonly clusterId?: string;
  readonly role?: string;
  readonly connected?: boolean;
  readonly error?: string;
  readonly locked?: boolean;
}

export async function infoOf(host: Host): Promise<Info> {
  return JSON.parse(await swarmctl(host, "cluster", "info", "--format", "json")) as Info;
}

/** Resolves to the host's info when it is so. */
export async function untilInfo(
  host: Host,
  what: string,
  isSo: (info: Info) => boolean,
): Promise<Info> {
  const look = async () => {
    const info = await infoOf(host);
    return isSo(info) && info;
  };
  return await waitFor(`${host.name} ${what}`, look, { timeoutMs: 30_000 });
}

/** Resolves when this manager answers, and with what. */
export async function untilAnswers(host: Host, ...args: readonly string[]): Promise<string> {
  const ask = async () => {
    const { status, stdout } = await host.exec("swarmctl", args);
    return status === 0 && stdout.trimEnd();
  };
  return await waitFor(`${host.name} to answer "${args.join(" ")}"`, ask, { timeoutMs: 30_000 });
}

/** Hostname → what `node ls` says of the node as a manager: "Leader", "Reachable", …, "" for a worker. */
export async function managersSeenBy(host: Host): Promise<Readonly<Record<string, string>>> {
  const [, ...rows] = (await swarmctl(host, "node", "ls")).split("\n");
  const columns = rows.map((row) => row.replace(" * ", "   ").split(/\s{2,}/));
  return Object.fromEntries(
    columns.map(([, hostname = "", , , ...rest]) => [hostname, rest.at(-2) ?? ""]),
  );
}

/** Resolves when this manager sees the managers so; where it does not answer yet, it is asked again. */
export async function untilManagers(
  host: Host,
  what: string,
  isSo: (seen: Readonly<Record<string, string>>) => boolean,
): Promise<Readonly<Record<string, string>>> {
  const look = async () => {
    await untilAnswers(host, "node", "ls", "-q");
    const seen = await managersSeenBy(host);
    return isSo(seen) && seen;
  };
  return await waitFor(`${host.name} to see ${what}`, look, { timeoutMs: 30_000 });
}

/** Hostname → the process of the service's container there. */
export function containersOf(view: ClusterView, service: string): Readonly<Record<string, number>> {
  const running = view.running(service);
  return Object.fromEntries(
    running.map((task) => [view.hostnameOf(task), Number(task.status?.container?.pid)]),
  );
}

export function nodeOf(view: ClusterView, host: Host): Node | undefined {
  return view.nodes.find(({ description }) => description?.hostname === host.name);
}

/** Hostnames of the nodes that were seen in any other state than READY since the witness began. */
export class NodeWitness implements Disposable {
  readonly #view: ClusterView;
  readonly #listening: Disposable;
  readonly #troubled = new Set<string>();

  constructor(view: ClusterView) {
    this.#view = view;
    this.#listening = view.onChange(() => this.#look());
    this.#look();
  }

  get troubled(): readonly string[] {
    return [...this.#troubled].toSorted();
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }

  #look(): void {
    for (const { description, status } of this.#view.nodes) {
      if (status?.state !== NodeState.READY) this.#troubled.add(description?.hostname ?? "");
    }
  }
}
