/** Waits until every node has a certificate of the new root. It changes nothing: whoever stops waiting stops nothing. */
import { Fault } from "#proto/fault.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, type NodeTlsInfo } from "#proto/gen/swarm/v1/types_pb.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";
import type { Context, ControlClient } from "../context.ts";
import { liveLines } from "../output/live-lines.ts";

const lookEveryMs = 500;

export async function waitForRotation(
  context: Context,
  control: ControlClient,
  { quiet }: { readonly quiet: boolean },
): Promise<void> {
  const { clock, signal, stdout, stderr } = context.io;
  const show = quiet ? () => {} : liveLines(stdout);
  try {
    for (;;) {
      const state = await look(control, signal);
      if (state !== undefined) {
        if (isDone(state)) return;
        show(progressLines(state));
      }
      await clock.sleep(lookEveryMs, signal);
    }
  } catch (thrown) {
    if (signal.aborted) stderr.write("Operation continuing in background.\n");
    throw Fault.wrap("The root certificate is not rotated yet", thrown);
  }
}

type State = Pick<Cluster, "rootCa" | "spec"> & { readonly nodes: readonly Node[] };

/** Managers begin a rotation a moment after it is wished for. */
function isDone({ rootCa, spec }: State): boolean {
  if (rootCa?.rootRotation !== undefined) return false;
  return (spec?.ca?.forceRotate ?? 0n) === (rootCa?.lastForcedRotation ?? 0n);
}

/** Undefined where a manager cannot say now: it may be renewing its own certificate. */
async function look(control: ControlClient, signal: AbortSignal): Promise<State | undefined> {
  try {
    const { cluster } = await control.getCluster({}, { signal });
    const { nodes } = await control.listNodes({}, { signal });
    return { ...cluster, nodes };
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (!fault.retryable) throw fault;
    return undefined;
  }
}

/** How far it has come; none while there is none under way. */
export function progressLines({ rootCa, nodes }: Pick<State, "rootCa" | "nodes">): string[] {
  const pem = Buffer.from(rootCa?.rootRotation?.caCert ?? []).toString();
  if (pem === "") return [];
  const digest = certificateDigest(pem);
  const keyHash = publicKeyHash(parseCertificate(pem));
  const tlsOf = nodes.map(({ description }) => description?.tls);
  const certified = tlsOf.filter((tls) => tls?.issuerKeyHash === keyHash).length;
  const trusting = tlsOf.filter((tls) => tls?.trustedRoots.includes(digest)).length;
  return [
    `desired root digest: ${digest}`,
    `  rotated TLS certificates: ${certified}/${nodes.length} nodes`,
    `  rotated CA certificates: ${trusting}/${nodes.length} nodes`,
    ...absenceLines(nodes, (tls) => tls?.issuerKeyHash === keyHash),
  ];
}

/** A rotation waits for nodes that are away, for as long as it takes: users are told what can be done. */
function absenceLines(
  nodes: readonly Node[],
  isRotated: (tls: NodeTlsInfo | undefined) => boolean,
): string[] {
  const away = nodes
    .filter(({ description, status }) => {
      return !isRotated(description?.tls) && status?.state !== NodeState.READY;
    })
    .map(({ id, description }) => `${id} (${description?.hostname ?? ""})`);
  if (away.length === 0) return [];
  return [`  waiting for nodes that are not up: ${away.join(", ")}: start them, or remove them`];
}
