/**
 * Reading certificates. Who somebody is stands in the subject alone, in three fields of one value each:
 *
 *     node   CN node ID, OU "swarm-manager" or "swarm-worker", O cluster ID
 *     user   CN name, OU "swarm-user", O cluster ID
 *
 * What is read here counts only of a certificate whose chain the TLS stack has found good.
 */
import { createHash, X509Certificate } from "node:crypto";
import type { Caller } from "../caller.ts";
import { Fault } from "../fault.ts";
import { isId } from "../ids.ts";

export const organizationalUnits = {
  manager: "swarm-manager",
  worker: "swarm-worker",
  user: "swarm-user",
} as const;

/** The caller that a certificate names. */
export type Identified = Extract<Caller, { readonly kind: "node" | "user" }>;

/** As a user may be called in a certificate. */
const userNamePattern = /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/;

export function isUserName(text: string): boolean {
  return userNamePattern.test(text);
}

/** A certificate's subject as node:tls gives it: a field that comes several times has a list of values. */
export type Subject = Readonly<Record<string, string | string[] | undefined>>;

/** Undefined: the subject is none of those that a cluster gives. */
export function identityOfSubject(subject: Subject): Identified | undefined {
  const { CN: name, OU: unit, O: clusterId, ...rest } = subject;
  if (Object.keys(rest).length > 0) return undefined;
  if (typeof name !== "string" || typeof unit !== "string" || typeof clusterId !== "string") {
    return undefined;
  }
  if (!isId(clusterId)) return undefined;
  switch (unit) {
    case organizationalUnits.manager:
      return isId(name) ? { kind: "node", nodeId: name, role: "manager", clusterId } : undefined;
    case organizationalUnits.worker:
      return isId(name) ? { kind: "node", nodeId: name, role: "worker", clusterId } : undefined;
    case organizationalUnits.user:
      return isUserName(name) ? { kind: "user", name, clusterId } : undefined;
    default:
      return undefined;
  }
}

/** The first certificate of a PEM text: a chain begins with the certificate itself. */
export function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (thrown) {
    throw new Fault("invalid-argument", "it is not a certificate in PEM form", { cause: thrown });
  }
}

/** Whom a certificate names; its chain is not looked at. */
export function identityOf(certificate: X509Certificate): Identified | undefined {
  return identityOfSubject(certificate.toLegacyObject().subject);
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export function validityOf(certificate: X509Certificate): Validity {
  return {
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** "2026-11-21T10:00:00Z": certificates know no milliseconds. */
export function secondsText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.[0-9]+Z$/, "Z");
}

/** What names a root certificate, as the first part of a join token: the SHA-256 of its DER form as 50 digits of base 36. */
export function certificateDigest(pem: string): string {
  const hex = createHash("sha256").update(parseCertificate(pem).raw).digest("hex");
  return BigInt(`0x${hex}`).toString(36).padStart(50, "0");
}

/** SHA-256 of the public key (SPKI) in hex: the same for a root and for its cross-signed twin. */
export function publicKeyHash(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("hex");
}

const pemPattern = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, one text each. */
export function splitCertificates(pem: string): string[] {
  return [...pem.matchAll(pemPattern)].map(([text]) => `${text}\n`);
}
