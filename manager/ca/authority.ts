/**
 * The cluster's own certificate authorities: making a root, taking one that a user brings, and letting an old root vouch
 * for a new one. Certificates and keys are PEM.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type webcrypto,
  type X509Certificate,
} from "node:crypto";
import { Fault } from "#proto/fault.ts";
import {
  parseCertificate,
  publicKeyHash,
  secondsText,
  splitCertificates,
  validityOf,
} from "#proto/tls/certificate.ts";
import { loadX509, type X509 } from "#proto/tls/x509.ts";

export interface Authority {
  readonly certificate: string;
  /** PKCS #8. */
  readonly key: string;
}

/** Every certificate begins to hold this long before it is made, for hosts whose clocks are behind. */
export const backdateMs = 3_600_000;

const dayMs = 24 * 3_600_000;
const rootLifeMs = 20 * 365 * dayMs;
/** What a user's root must still have before it. */
const rootLifeMsMin = 365 * dayMs;

export async function createRoot(nowMs: number): Promise<Authority> {
  const x509 = await loadX509();
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new x509.PublicKey(publicKey.export({ type: "spki", format: "der" }));
  // Roots of different keys have different names, which makes it plain who signed what.
  const keyId = Buffer.from(await spki.getKeyIdentifier()).toString("hex", 0, 8);
  const name = [{ CN: [`swarm-ca ${keyId}`] }];
  const root = await x509.X509CertificateGenerator.create({
    subject: name,
    issuer: name,
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + rootLifeMs),
    publicKey: spki,
    ...signingParams(privateKey),
    extensions: await authorityExtensions(x509, spki),
  });
  return {
    certificate: pemText(root.toString("pem")),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** The certificate of another authority, signed by this one: whoever trusts this one trusts the other through it. */
export async function crossSign(certificate: string, by: Authority): Promise<string> {
  const x509 = await loadX509();
  const other = new x509.X509Certificate(certificate);
  const own = new x509.X509Certificate(by.certificate);
  const signed = await x509.X509CertificateGenerator.create({
    subject: other.subjectName,
    issuer: own.subjectName,
    notBefore: laterOf(other.notBefore, own.notBefore),
    notAfter: earlierOf(other.notAfter, own.notAfter),
    publicKey: other.publicKey,
    ...signingParams(createPrivateKey(by.key)),
    extensions: [
      ...(await authorityExtensions(x509, other.publicKey)),
      await x509.AuthorityKeyIdentifierExtension.create(own.publicKey),
    ],
  });
  return pemText(signed.toString("pem"));
}

async function authorityExtensions(x509: X509, key: InstanceType<X509["PublicKey"]>) {
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(key),
  ];
}

/** What a generator needs to sign with this key. */
export function signingParams(key: KeyObject): {
  signingKey: webcrypto.CryptoKey;
  signingAlgorithm: { name: string; hash: string };
} {
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  const hash = namedCurve === "secp384r1" ? "SHA-384" : "SHA-256";
  if (key.asymmetricKeyType === "rsa") {
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash };
    return { signingKey: key.toCryptoKey(algorithm, false, ["sign"]), signingAlgorithm: algorithm };
  }
  const curve = namedCurve === "secp384r1" ? "P-384" : "P-256";
  const signingKey = key.toCryptoKey({ name: "ECDSA", namedCurve: curve }, false, ["sign"]);
  return { signingKey, signingAlgorithm: { name: "ECDSA", hash } };
}

export function pemText(pem: string): string {
  return `${pem.trim()}\n`;
}

/** Refuses what cannot be the root of a cluster. */
export function checkRoot({ certificate, key }: Authority, nowMs: number): void {
  const refused = (problem: string, cause?: unknown) =>
    new Fault("invalid-argument", `Cannot use the root certificate: ${problem}`, { cause });
  if (splitCertificates(certificate).length !== 1) {
    throw refused("give exactly one certificate in PEM form");
  }
  const root = parseCertificate(certificate);
  const weakness = weaknessOf(root.publicKey);
  if (weakness !== undefined) throw refused(weakness);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch (thrown) {
    throw refused("its key is not an unencrypted private key in PEM form", thrown);
  }
  if (!root.checkPrivateKey(privateKey)) throw refused("the key is not the certificate's");
  const problem = rootProblem(root, nowMs);
  if (problem !== undefined) throw refused(problem);
}

/** CA:TRUE without a limit of path length (RFC 5280, 4.2.1.9), in DER: a later root must be able to stand below it. */
const unlimitedCa = /0603551d13(?:0101ff)?040530030101ff/;

function rootProblem(root: X509Certificate, nowMs: number): string | undefined {
  if (!root.ca) return "it is not the certificate of an authority (CA:TRUE)";
  if (!unlimitedCa.test(root.raw.toString("hex"))) return "it limits the length of chains";
  if (!root.checkIssued(root) || !root.verify(root.publicKey)) {
    return "it is not signed by itself: give the root, not an intermediate";
  }
  const { notBeforeMs, notAfterMs } = validityOf(root);
  if (notBeforeMs > nowMs) return `it is not valid before ${secondsText(notBeforeMs)}`;
  if (notAfterMs < nowMs + rootLifeMsMin) {
    return `it holds until ${secondsText(notAfterMs)} only: a year from now is the least`;
  }
  return undefined;
}

/** Undefined: the key is good enough. */
export function weaknessOf(key: KeyObject): string | undefined {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ec":
      if (namedCurve === "prime256v1" || namedCurve === "secp384r1") return undefined;
      return `its key is on the curve ${namedCurve}: use P-256 or P-384`;
    case "rsa":
      if (modulusLength >= 2048) return undefined;
      return `its RSA key has ${modulusLength} bits: 2048 are the least`;
    default:
      return `its key is of the kind ${key.asymmetricKeyType}: use ECDSA with P-256 or P-384, or RSA`;
  }
}

export function sameKey(a: string, b: string): boolean {
  return publicKeyHash(parseCertificate(a)) === publicKeyHash(parseCertificate(b));
}

function earlierOf(a: Date, b: Date): Date {
  return a < b ? a : b;
}

function laterOf(a: Date, b: Date): Date {
  return a > b ? a : b;
}
