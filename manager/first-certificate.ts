/** The certificate of a cluster's first manager, which nobody else is there to issue. */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { FromManager, ManagerStart } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import { requestedKey } from "./ca/certificate-request.ts";
import { foundCluster } from "./ca/found-cluster.ts";
import { issueCertificate } from "./ca/issuer.ts";
import { theCluster } from "./control/cluster.ts";
import type { Store } from "./store/store.ts";

export type Founding = Extract<ManagerStart, { readonly how: "found" | "restore" }>;

export function isFounding(start: ManagerStart): start is Founding {
  return start.how === "found" || start.how === "restore";
}

/** Founds the cluster, unless a backup brought it, and answers what swarmd is told. */
export async function issueFirst(
  start: Founding,
  place: { readonly address: string; readonly raftId: bigint },
  modules: Ports & { readonly store: Store },
): Promise<FromManager> {
  const { nodeId, csr } = start;
  if (start.how === "found") {
    const founded = await foundCluster(
      {
        ...place,
        nodeId,
        csr,
        spec: fromJson(ClusterSpecSchema, start.spec as JsonValue),
        description: fromJson(NodeDescriptionSchema, start.description as JsonValue),
        availability: start.availability,
      },
      modules,
    );
    return { kind: "issued", ...founded };
  }
  const cluster = theCluster(modules.store);
  const key = await requestedKey(csr);
  const subject = { kind: "node", nodeId, role: "manager" } as const;
  const issued = await issueCertificate(cluster, { key, subject, nowMs: modules.clock.now() });
  return { kind: "issued", clusterId: cluster.id, ...issued };
}
