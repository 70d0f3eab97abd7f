/** Looks at the hosts of a cluster's file, and takes the cluster off them. */
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { clearHost } from "./clear-host.ts";
import { controlOf } from "./clients.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";
import { inParallel } from "./in-parallel.ts";
import {
  type DestroyPlan,
  type DestroyWish,
  type LookedAt,
  parseRemains,
  remainsScript,
} from "./plan-destroy.ts";
import { unnamed } from "./problems.ts";
import type { Remote } from "./remote.ts";

export interface DestroyPorts {
  readonly remoteOf: (host: FileHost) => Remote;
  readonly onHost: (host: FileHost, what: string) => void;
  readonly signal: AbortSignal;
}

export function lookAtHosts(
  hosts: readonly FileHost[],
  ports: DestroyPorts,
): Promise<readonly LookedAt[]> {
  return inParallel(hosts, (host) => lookAt(host, ports));
}

async function lookAt(host: FileHost, { remoteOf, signal }: DestroyPorts): Promise<LookedAt> {
  try {
    const { stdout } = await remoteOf(host).run(["sh", "-s"], { input: remainsScript, signal });
    return { host, remains: parseRemains(stdout) };
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.code === "canceled") throw fault;
    return { host, fault };
  }
}

/** How the managers are asked what the file does not know; nothing else waits for them. */
const askMs = 5_000;

export interface ClusterKnown {
  readonly name: string;
  /** Nodes of the cluster that no host of the file is. */
  readonly outsiders: readonly Node[];
  readonly backupFolder?: string;
}

/** Undefined where no manager answers. */
export async function askCluster(
  { managers, workers }: DestroyPlan,
  { remoteOf }: DestroyPorts,
): Promise<ClusterKnown | undefined> {
  const known = new Set([...managers, ...workers].map(({ remains }) => remains?.node?.nodeId));
  for (const { host } of managers) {
    try {
      using control = await controlOf(remoteOf(host));
      const { nodes } = await control.client.listNodes({}, { deadlineMs: askMs });
      const { cluster } = await control.client.getCluster({}, { deadlineMs: askMs });
      const folder = cluster?.spec?.backup?.folder;
      return {
        name: cluster?.spec?.annotations?.name ?? "",
        outsiders: nodes.filter(({ id }) => !known.has(id)),
        ...(folder !== undefined && { backupFolder: folder }),
      };
    } catch (thrown) {
      if (Fault.from(thrown).code === "canceled") throw thrown;
    }
  }
  return undefined;
}

/** The addresses of an old file may have become another cluster's. */
export function refuseOtherName(known: ClusterKnown | undefined, name: string): void {
  if (known === undefined || known.name === name || known.name === unnamed) return;
  const message = `Nothing was destroyed: the cluster on these hosts is "${known.name}", the file's is "${name}": take the file of "${known.name}"`;
  throw new Fault("failed-precondition", message);
}

export interface Leftover {
  readonly host: FileHost;
  /** What is still there, or why nobody knows. */
  readonly what: string;
}

/** What could not be taken away; empty: the hosts are as they were before. */
export async function destroy(
  plan: DestroyPlan,
  wish: DestroyWish,
  ports: DestroyPorts,
): Promise<readonly Leftover[]> {
  const clear = async ({ host }: LookedAt): Promise<Leftover[]> => {
    const { remoteOf, onHost, signal } = ports;
    onHost(host, "leaving the cluster, ending its containers");
    try {
      const left = await clearHost(remoteOf(host), { ...wish, signal });
      onHost(host, left.length === 0 ? "done" : "something is left");
      return left.map((what) => ({ host, what }));
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code === "canceled") throw fault;
      onHost(host, "failed");
      return [{ host, what: fault.message }];
    }
  };
  const ofWorkers = await inParallel(plan.workers, clear);
  const ofManagers = await inParallel(plan.managers, clear);
  const unreached = plan.unreachable.map(({ host, fault }) => {
    return { host, what: `not reached: ${fault?.message ?? ""}` };
  });
  return [...ofWorkers.flat(), ...ofManagers.flat(), ...unreached];
}
