/** Why the TLS stack does not trust a certificate, in words that say what to do. */
import type { X509Certificate } from "node:crypto";
import { secondsText, validityOf } from "./certificate.ts";

/** OpenSSL's reasons that all mean: none of the roots that we trust is behind it. */
const unknownAuthority: ReadonlySet<string> = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
]);

/** `code`: OpenSSL's name of the reason, as node:tls gives it. `nowMs`: by the clock of this host, which does not trust it. */
export function certificateProblem(
  code: string,
  certificate: X509Certificate,
  nowMs: number,
): string {
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return validityProblem(code, certificate, nowMs);
  }
  if (unknownAuthority.has(code)) {
    return "the certificate was signed by an unknown authority: it is of another cluster, or of a root that is not trusted any more";
  }
  return `the certificate is not valid (${code})`;
}

function validityProblem(code: string, certificate: X509Certificate, nowMs: number): string {
  const { notBeforeMs, notAfterMs } = validityOf(certificate);
  const expired = code === "CERT_HAS_EXPIRED";
  const what = expired ? "has expired" : "is not valid yet";
  if (expired ? nowMs <= notAfterMs : nowMs >= notBeforeMs) {
    return `the certificate of the authority that signed it ${what}: compare the clocks of both hosts`;
  }
  const span = `from ${secondsText(notBeforeMs)} to ${secondsText(notAfterMs)}`;
  const clock = `the clock of the host that checks it says ${secondsText(nowMs)}`;
  return `the certificate ${what}: it holds ${span}, and ${clock}; compare the clocks of both hosts`;
}
