import { Fault } from "#proto/fault.ts";
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { View } from "../store/store.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

export function clusterHandlers({
  store,
}: Pick<ControlModules, "store">): Pick<ControlHandlers, "getCluster"> {
  return {
    getCluster: async () => ({ cluster: withoutKeys(theCluster(store)) }),
  };
}

/** The one cluster that a store holds. */
export function theCluster(view: View): Cluster {
  const [cluster] = view.list("cluster");
  if (cluster === undefined) throw new Fault("failed-precondition", "there is no cluster yet");
  return cluster;
}

function withoutKeys(cluster: Cluster): Cluster {
  if (cluster.rootCa === undefined) return cluster;
  return { ...cluster, rootCa: { ...cluster.rootCa, caKey: new Uint8Array() } };
}
