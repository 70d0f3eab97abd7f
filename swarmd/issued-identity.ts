/** What a manager issued, put together with the key that stayed here, and looked at before it is used. */
import { createPrivateKey } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { identityOf, parseCertificate, splitCertificates } from "#proto/tls/certificate.ts";
import type { Role } from "./identity.ts";

export interface IssuedCertificate {
  /** PEM, with intermediates. */
  readonly certificate: string;
  readonly caCertificates: string;
}

/** A Fault where the certificate is not of this key, this node and this cluster. */
export function issuedIdentity(
  key: string,
  issued: IssuedCertificate,
  node: { readonly nodeId: string; readonly clusterId: string },
): TlsIdentity {
  const { certificate, caCertificates } = issued;
  const wrong = (why: string) =>
    new Fault("internal", `the certificate that the manager issued cannot be used: ${why}`);
  const parsed = parseCertificate(certificate);
  if (!parsed.checkPrivateKey(createPrivateKey(key))) throw wrong("it is of another key");
  const named = identityOf(parsed);
  if (named?.kind !== "node" || named.nodeId !== node.nodeId) throw wrong("it is of another node");
  if (named.clusterId !== node.clusterId) throw wrong("it is of another cluster");
  if (splitCertificates(caCertificates).length === 0) throw wrong("it came without a root");
  return { certificate, key, caCertificates };
}

/** What a node's certificate says that it is. */
export function roleOf(identity: TlsIdentity): Role {
  const named = identityOf(parseCertificate(identity.certificate));
  return named?.kind === "node" ? named.role : "worker";
}
