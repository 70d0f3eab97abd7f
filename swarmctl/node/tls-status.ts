/** Whether nodes have certificates of the cluster's root, and trust it, in Docker's words. */
import type { RootCa } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { NodeTlsInfo } from "#proto/gen/swarm/v1/types_pb.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";

export function tlsStatus(root: RootCa | undefined): (tls: NodeTlsInfo | undefined) => string {
  // While a new root takes over it is the one to have.
  const pem = Buffer.from(root?.rootRotation?.caCert ?? root?.caCert ?? []).toString();
  if (pem === "") return () => "Unknown";
  const digest = certificateDigest(pem);
  const keyHash = publicKeyHash(parseCertificate(pem));
  return (tls) => {
    if (tls === undefined) return "Unknown";
    const isReady = tls.issuerKeyHash === keyHash && tls.trustedRoots.includes(digest);
    return isReady ? "Ready" : "Needs Rotation";
  };
}
