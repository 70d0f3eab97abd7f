/**
 * What destroying a cluster takes away, from what its hosts say: pure. Workers go before managers, so that a run that is
 * interrupted leaves something that still knows of the rest.
 */
import { Fault } from "#proto/fault.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";

/** What a host says of itself, also where its swarmd does not run. */
export interface Remains {
  /** Of the package; undefined: none is installed. */
  readonly version?: string;
  /** Whether /var/lib/swarm has anything. */
  readonly hasData: boolean;
  readonly node?: {
    readonly nodeId: string;
    readonly clusterId: string;
    readonly isManager: boolean;
  };
}

export interface LookedAt {
  readonly host: FileHost;
  readonly remains?: Remains;
  /** Why it cannot be reached. */
  readonly fault?: Fault;
}

export interface DestroyPlan {
  readonly workers: readonly LookedAt[];
  readonly managers: readonly LookedAt[];
  /** Nothing of ours is there. */
  readonly blank: readonly LookedAt[];
  readonly unreachable: readonly LookedAt[];
}

export interface DestroyWish {
  readonly keepPackage: boolean;
}

export function planDestroy(hosts: readonly LookedAt[], { keepPackage }: DestroyWish): DestroyPlan {
  refuseSeveralClusters(hosts);
  const isBlank = ({ remains }: LookedAt) =>
    remains !== undefined && !remains.hasData && (keepPackage || remains.version === undefined);
  const found = hosts.filter((host) => host.remains !== undefined && !isBlank(host));
  const isManager = ({ host, remains }: LookedAt) => remains?.node?.isManager ?? host.isManager;
  return {
    workers: found.filter((host) => !isManager(host)),
    managers: found.filter(isManager),
    blank: hosts.filter(isBlank),
    unreachable: hosts.filter(({ fault }) => fault !== undefined),
  };
}

/** The file may be another's, or one of its addresses may have become another's. */
function refuseSeveralClusters(hosts: readonly LookedAt[]): void {
  const byCluster = Map.groupBy(
    hosts.filter(({ remains }) => remains?.node !== undefined),
    ({ remains }) => remains?.node?.clusterId ?? "",
  );
  if (byCluster.size < 2) return;
  const parts = [...byCluster].map(
    ([id, members]) => `${members.map(({ host }) => host.name).join(", ")}: cluster ${id}`,
  );
  const advice = "take those of the other cluster out of the file";
  throw new Fault(
    "failed-precondition",
    `The hosts of the file belong to several clusters (${parts.join("; ")}): ${advice}`,
  );
}

/** Prints what `parseRemains` reads; every line is tab-separated. */
export const remainsScript = `export LC_ALL=C
[ -e /usr/lib/swarm/version ] && printf 'version\\t%s\\n' "$(head -n 1 /usr/lib/swarm/version)"
[ -n "$(ls -A /var/lib/swarm 2>/dev/null)" ] && printf 'data\\tyes\\n'
[ -e /var/lib/swarm/node.json ] && printf 'node\\t%s\\n' "$(tr -d '\\n\\t' </var/lib/swarm/node.json)"
printf 'end\\t\\n'
`;

export function parseRemains(text: string): Remains {
  const lines = new Map(
    text.split("\n").flatMap((line) => {
      const at = line.indexOf("\t");
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );
  if (!lines.has("end")) throw new Fault("data-loss", "what it says of itself cannot be read");
  const version = lines.get("version");
  const node = nodeOf(lines.get("node"));
  return {
    hasData: lines.has("data"),
    ...(version !== undefined && { version }),
    ...(node !== undefined && { node }),
  };
}

/** Undefined where it belongs to no cluster, or where the file is damaged: then it is cleared all the same. */
function nodeOf(text: string | undefined): Remains["node"] {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    const { nodeId, clusterId, role } = value as Record<string, unknown>;
    if (typeof nodeId !== "string" || typeof clusterId !== "string") return undefined;
    return { nodeId, clusterId, isManager: role === "manager" };
  } catch {
    return undefined;
  }
}
