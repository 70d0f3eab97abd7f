import { Fault } from "#proto/fault.ts";
import type { UpdateClusterRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ClusterSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Random } from "#proto/ports.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { checkRoot } from "../ca/authority.ts";
import { newJoinToken } from "../ca/join-token.ts";
import { issueUserCertificate } from "../ca/user-ca.ts";
import { refuseFixedChange, validateClusterSpec } from "../spec/validate-cluster.ts";
import type { View } from "../store/store.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { refuseStale } from "./version.ts";

type Modules = Pick<ControlModules, "store" | "clock" | "random">;
type Methods =
  | "getCluster"
  | "updateCluster"
  | "getJoinTokens"
  | "getUnlockKey"
  | "issueUserCertificate";

export function clusterHandlers(modules: Modules): Pick<ControlHandlers, Methods> {
  const { store } = modules;
  return {
    getCluster: async () => ({ cluster: publicCluster(theCluster(store)) }),
    updateCluster: async (request) => {
      await updateCluster(modules, request);
      return { cluster: publicCluster(theCluster(store)) };
    },
    getJoinTokens: async () => {
      const tokens = theCluster(store).rootCa?.joinTokens;
      if (tokens === undefined) throw new Fault("internal", "the cluster has no join tokens");
      return { tokens };
    },
    getUnlockKey: async () => ({ unlockKey: theCluster(store).unlockKey }),
    issueUserCertificate: (request) => issueUserCertificate(request, modules),
  };
}

/** The one cluster that a store holds. */
export function theCluster(view: View): Cluster {
  const [cluster] = view.list("cluster");
  if (cluster === undefined) throw new Fault("failed-precondition", "there is no cluster yet");
  return cluster;
}

async function updateCluster({ store, clock, random }: Modules, request: UpdateClusterRequest) {
  const given = validateClusterSpec(request.spec);
  await store.write((view) => {
    const cluster = theCluster(view);
    refuseStale("the cluster", cluster, request.version);
    refuseFixedChange(cluster.spec, given);
    const spec = withSigningAuthority(given, cluster.spec, clock.now());
    const unlockKey = unlockKeyOf(cluster, { request, spec, random });
    const object: Cluster = { ...cluster, spec, unlockKey };
    if (cluster.rootCa !== undefined) object.rootCa = withTokens(cluster.rootCa, request, random);
    return [{ action: "update", kind: "cluster", object }];
  });
}

/** A root of the user's own comes with its key, which is never read back: who changes other things sends it without. */
function withSigningAuthority(
  spec: ClusterSpec,
  before: ClusterSpec | undefined,
  nowMs: number,
): ClusterSpec {
  const { ca } = spec;
  if (ca === undefined || ca.signingCaCert.length === 0) return spec;
  const same = Buffer.compare(ca.signingCaCert, before?.ca?.signingCaCert ?? Buffer.alloc(0)) === 0;
  if (same && ca.signingCaKey.length === 0) {
    return { ...spec, ca: { ...ca, signingCaKey: before?.ca?.signingCaKey ?? new Uint8Array() } };
  }
  const certificate = Buffer.from(ca.signingCaCert).toString();
  checkRoot({ certificate, key: Buffer.from(ca.signingCaKey).toString() }, nowMs);
  return spec;
}

type RootCa = NonNullable<Cluster["rootCa"]>;

function withTokens(rootCa: RootCa, request: UpdateClusterRequest, random: Random): RootCa {
  const { joinTokens, caCertHash } = rootCa;
  if (joinTokens === undefined) return rootCa;
  const { worker, manager } = joinTokens;
  return {
    ...rootCa,
    joinTokens: {
      ...joinTokens,
      worker: request.rotateWorkerToken ? newJoinToken(caCertHash, random) : worker,
      manager: request.rotateManagerToken ? newJoinToken(caCertHash, random) : manager,
    },
  };
}

/** There is one exactly while the managers lock themselves. */
function unlockKeyOf(
  { unlockKey }: Cluster,
  update: { request: UpdateClusterRequest; spec: ClusterSpec; random: Random },
): string {
  const { request, spec, random } = update;
  if (spec.encryption?.autoLockManagers !== true) {
    if (!request.rotateUnlockKey) return "";
    const message =
      "Cannot rotate the unlock key: the managers do not lock themselves; turn autolock on first";
    throw new Fault("failed-precondition", message);
  }
  return unlockKey === "" || request.rotateUnlockKey ? newUnlockKey(random) : unlockKey;
}

/** A cluster as users see it: what has a call of its own, or never leaves the managers, is left out. */
export function publicCluster(cluster: Cluster): Cluster {
  const { rootCa, spec } = cluster;
  const shown: Cluster = { ...cluster, unlockKey: "" };
  if (rootCa !== undefined) {
    const { joinTokens: _, rootRotation, ...rest } = rootCa;
    shown.rootCa = { ...rest, caKey: new Uint8Array() };
    if (rootRotation !== undefined) {
      shown.rootCa.rootRotation = { ...rootRotation, caKey: new Uint8Array() };
    }
  }
  if (spec?.ca !== undefined) {
    shown.spec = { ...spec, ca: { ...spec.ca, signingCaKey: new Uint8Array() } };
  }
  return shown;
}
