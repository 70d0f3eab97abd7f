/**
 * Who signs certificates now, and whom nodes trust now: the cluster's root; or, while a new root takes over, the new one,
 * with the old one's word for it, and both are trusted.
 */
import { createPrivateKey } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import type { NodeCertificate } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeTlsInfo, NodeTlsInfoSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { create } from "@bufbuild/protobuf";
import { msFromDuration } from "#proto/time.ts";
import {
  certificateDigest,
  type Identified,
  organizationalUnits,
  parseCertificate,
  publicKeyHash,
  type Validity,
  validityOf,
} from "#proto/tls/certificate.ts";
import { loadX509, type X509 } from "#proto/tls/x509.ts";
import { clusterDefaults } from "../cluster.ts";
import { type Authority, backdateMs, pemText, signingParams } from "./authority.ts";

interface Issuer extends Authority {
  /** What follows a certificate, so that those who know only the old root accept it; may be empty. */
  readonly intermediates: string;
  /** Every root to trust. */
  readonly roots: readonly string[];
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

export function issuerOf({ rootCa }: Cluster): Issuer {
  if (rootCa === undefined || rootCa.caKey.length === 0) {
    throw new Fault("internal", "the cluster has no certificate authority");
  }
  const root = textOf(rootCa.caCert);
  const next = rootCa.rootRotation;
  if (next === undefined) {
    return { certificate: root, key: textOf(rootCa.caKey), intermediates: "", roots: [root] };
  }
  const certificate = textOf(next.caCert);
  return {
    certificate,
    key: textOf(next.caKey),
    intermediates: textOf(next.crossSignedCaCert),
    roots: [root, certificate],
  };
}

/** Whom a node shall trust and whose certificate it shall have. One that differs renews. */
export function wantedTls(cluster: Cluster): NodeTlsInfo {
  const { certificate, roots } = issuerOf(cluster);
  return create(NodeTlsInfoSchema, {
    trustedRoots: roots.map((root) => certificateDigest(root)),
    issuerKeyHash: publicKeyHash(parseCertificate(certificate)),
  });
}

/** How long a certificate that is signed now holds. */
export function newValidity(cluster: Cluster, nowMs: number): Validity {
  const lifeMs = msFromDuration(cluster.spec?.ca?.nodeCertExpiry, clusterDefaults.nodeCertExpiryMs);
  const issuerEndMs = validityOf(parseCertificate(issuerOf(cluster).certificate)).notAfterMs;
  return {
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: Math.min(nowMs + lifeMs, issuerEndMs),
  };
}

export interface CertificateOrder {
  /** As `requestedKey` found it good. */
  readonly key: Buffer;
  readonly subject:
    | Omit<Extract<Identified, { readonly kind: "node" }>, "clusterId">
    | Omit<Extract<Identified, { readonly kind: "user" }>, "clusterId">;
  readonly nowMs: number;
}

export async function issueCertificate(
  cluster: Cluster,
  { key, subject, nowMs }: CertificateOrder,
): Promise<Pick<NodeCertificate, "certificate" | "caCertificates">> {
  const x509 = await loadX509();
  const issuer = issuerOf(cluster);
  const own = new x509.X509Certificate(issuer.certificate);
  const { notBeforeMs, notAfterMs } = newValidity(cluster, nowMs);
  const unit =
    subject.kind === "node" ? organizationalUnits[subject.role] : organizationalUnits.user;
  const name = subject.kind === "node" ? subject.nodeId : subject.name;
  const publicKey = new x509.PublicKey(key);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [name] }, { OU: [unit] }, { O: [cluster.id] }],
    issuer: own.subjectName,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey,
    ...signingParams(createPrivateKey(issuer.key)),
    extensions: [
      ...leafExtensions(x509, unit),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(own.publicKey),
    ],
  });
  return {
    certificate: pemText(certificate.toString("pem")) + issuer.intermediates,
    caCertificates: issuer.roots.join(""),
  };
}

/** Nodes serve: managers the cluster, each its engine to managers. Users never do. */
function leafExtensions(x509: X509, unit: string) {
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
  const usages = unit === organizationalUnits.user ? [clientAuth] : [clientAuth, serverAuth];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(usages),
  ];
}
