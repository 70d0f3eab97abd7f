/** Reading requests for certificates (PKCS #10) that strangers send. Only the key counts, and that they have it. */
import { createPublicKey } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import { loadX509 } from "#proto/tls/x509.ts";
import { weaknessOf } from "./authority.ts";

/** One of an RSA key of 4096 bits takes 1700. */
const csrLengthMax = 8 * 1024;

const pemPattern =
  /^\s*-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----\s*$/;

/** The public key (SPKI, DER) that a request asks a certificate for. */
export async function requestedKey(csr: string): Promise<Buffer> {
  const refused = (problem: string, cause?: unknown) =>
    new Fault("invalid-argument", `the certificate request is not valid: ${problem}`, { cause });
  if (csr.length > csrLengthMax) {
    throw refused(`it has ${csr.length} characters, ${csrLengthMax} are the most`);
  }
  const [, base64] = pemPattern.exec(csr) ?? [];
  if (base64 === undefined) throw refused("it is not in PEM form");
  const x509 = await loadX509();
  let key: Buffer;
  let proven: boolean;
  try {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(base64, "base64"));
    key = Buffer.from(request.publicKey.rawData);
    const weakness = weaknessOf(createPublicKey({ key, format: "der", type: "spki" }));
    if (weakness !== undefined) throw refused(weakness);
    proven = await request.verify();
  } catch (thrown) {
    throw thrown instanceof Fault ? thrown : refused("it cannot be read", thrown);
  }
  if (!proven) throw refused("it is not signed with the key that it is for");
  return key;
}
