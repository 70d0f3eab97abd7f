/** A key pair, made where it is used, and the request for a certificate of it (PKCS #10): the key never travels. */
import { webcrypto } from "node:crypto";
import { loadX509 } from "./x509.ts";

export interface CertificateRequest {
  /** PKCS #8 in PEM. */
  readonly key: string;
  /** PEM. It says nothing of who asks: the authority gives the subject. */
  readonly csr: string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export async function createCertificateRequest(): Promise<CertificateRequest> {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    key: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
    csr: `${request.toString("pem")}\n`,
  };
}
