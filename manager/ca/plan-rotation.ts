/**
 * What a change of the cluster's root needs next. Pure.
 *
 * A new root takes over while the old one is still trusted: nodes get certificates of the new key, with the new root as
 * the old one has signed it, so that those who know only the old root accept them; and they are told to trust both. When
 * every node has such a certificate and trusts the new root, the new one is the root. Nodes that are down are waited for;
 * removed ones are not.
 */
import type { Cluster, Node, RootCa } from "#proto/gen/swarm/v1/objects_pb.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";
import { type Authority, sameKey } from "./authority.ts";

export type RotationStep =
  | { readonly kind: "none" }
  /** `given`: what the user wants as the root; undefined: one of the managers' own making. */
  | { readonly kind: "start"; readonly given: Authority | undefined; readonly forced: bigint }
  /** The wish is fulfilled already. */
  | { readonly kind: "note"; readonly forced: bigint }
  | { readonly kind: "finish" };

export function planRotation(cluster: Cluster, nodes: readonly Node[]): RotationStep {
  const { rootCa } = cluster;
  if (rootCa === undefined) return { kind: "none" };
  const forced = cluster.spec?.ca?.forceRotate ?? 0n;
  const given = givenRoot(cluster);
  if (given !== undefined && !sameKey(given.certificate, targetOf(rootCa))) {
    return { kind: "start", given, forced };
  }
  if (forced !== rootCa.lastForcedRotation) {
    // The user's own root, asked for again, stays.
    return given === undefined ? { kind: "start", given, forced } : { kind: "note", forced };
  }
  const next = rootCa.rootRotation;
  if (next === undefined) return { kind: "none" };
  const root = textOf(next.caCert);
  const digest = certificateDigest(root);
  const keyHash = publicKeyHash(parseCertificate(root));
  const done = nodes.every(({ description }) => {
    const tls = description?.tls;
    return tls?.issuerKeyHash === keyHash && tls.trustedRoots.includes(digest);
  });
  return { kind: done ? "finish" : "none" };
}

function givenRoot({ spec }: Cluster): Authority | undefined {
  const { signingCaCert = new Uint8Array(), signingCaKey = new Uint8Array() } = spec?.ca ?? {};
  if (signingCaCert.length === 0) return undefined;
  return { certificate: textOf(signingCaCert), key: textOf(signingCaKey) };
}

/** The root that is, or that is to be. */
function targetOf({ caCert, rootRotation }: RootCa): string {
  return textOf(rootRotation?.caCert ?? caCert);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
