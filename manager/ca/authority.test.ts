import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { parseCertificate, validityOf } from "#proto/tls/certificate.ts";
import { loadX509 } from "#proto/tls/x509.ts";
import {
  type Authority,
  checkRoot,
  createRoot,
  crossSign,
  sameKey,
  signingParams,
} from "./authority.ts";

const nowMs = Date.UTC(2026, 0, 1);
const dayMs = 24 * 3_600_000;

test("root, is ECDSA P-256 and holds for 20 years from an hour ago", async () => {
  const root = await createRoot(nowMs);
  checkRoot(root, nowMs);
  const certificate = parseCertificate(root.certificate);
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert(certificate.ca);
  const { notBeforeMs, notAfterMs } = validityOf(certificate);
  assert.equal(notBeforeMs, nowMs - 3_600_000);
  assert.equal(notAfterMs, nowMs + 20 * 365 * dayMs);
});

test("root, an old one vouches for a new one", async () => {
  const [old, next] = [await createRoot(nowMs), await createRoot(nowMs + 400 * dayMs)];
  const cross = parseCertificate(await crossSign(next.certificate, old));
  const [oldRoot, newRoot] = [old, next].map(({ certificate }) => parseCertificate(certificate));
  assert(oldRoot !== undefined && newRoot !== undefined);
  assert(cross.checkIssued(oldRoot));
  assert(cross.verify(oldRoot.publicKey));
  assert(!cross.verify(newRoot.publicKey));
  assert.equal(cross.subject, newRoot.subject);
  assert(cross.ca);
  assert(sameKey(cross.toString(), next.certificate));
  assert(!sameKey(old.certificate, next.certificate));
  // No longer than both.
  assert.equal(validityOf(cross).notAfterMs, validityOf(oldRoot).notAfterMs);
  assert.equal(validityOf(cross).notBeforeMs, validityOf(newRoot).notBeforeMs);
});

interface GivenRoot {
  readonly kind?: "P-256" | "P-384" | "P-521" | "RSA-2048" | "RSA-1024" | "Ed25519";
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly by?: Authority;
}

const pairs = {
  "P-256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "P-384": () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "P-521": () => generateKeyPairSync("ec", { namedCurve: "P-521" }),
  "RSA-2048": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "RSA-1024": () => generateKeyPairSync("rsa", { modulusLength: 1024 }),
  Ed25519: () => generateKeyPairSync("ed25519"),
};

async function givenRoot(given: GivenRoot): Promise<Authority> {
  const x509 = await loadX509();
  const { kind = "P-256", ca = true, pathLength, by } = given;
  const { privateKey, publicKey } = pairs[kind]();
  // What the product does not sign with is signed by somebody else: refused for its key before that is looked at.
  const strange = kind === "Ed25519" || kind === "P-521" || kind === "RSA-1024";
  const signer = strange ? pairs["P-256"]().privateKey : privateKey;
  const issuer = by === undefined ? undefined : new x509.X509Certificate(by.certificate);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=Example Root, O=Example",
    issuer: issuer?.subjectName ?? "CN=Example Root, O=Example",
    notBefore: new Date(given.fromMs ?? nowMs - dayMs),
    notAfter: new Date(given.toMs ?? nowMs + 1000 * dayMs),
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    ...signingParams(signer),
    extensions: [new x509.BasicConstraintsExtension(ca, pathLength, true)],
  });
  return {
    certificate: certificate.toString("pem"),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

test("a user's root, of each kind of key it may have it signs and is signed for", async () => {
  for (const kind of ["P-256", "P-384", "RSA-2048"] as const) {
    const root = await givenRoot({ kind });
    checkRoot(root, nowMs);
    const own = await createRoot(nowMs);
    const cross = new X509Certificate(await crossSign(root.certificate, own));
    assert(cross.verify(parseCertificate(own.certificate).publicKey));
    const back = new X509Certificate(await crossSign(own.certificate, root));
    assert(back.verify(parseCertificate(root.certificate).publicKey));
    assert(back.checkIssued(parseCertificate(root.certificate)));
  }
});

const refused: readonly [GivenRoot, RegExp][] = [
  [{ kind: "P-521" }, /its key is on the curve secp521r1: use P-256 or P-384/],
  [{ kind: "RSA-1024" }, /its RSA key has 1024 bits: 2048 are the least/],
  [{ kind: "Ed25519" }, /its key is of the kind ed25519/],
  [{ ca: false }, /it is not the certificate of an authority/],
  [{ pathLength: 0 }, /it limits the length of chains/],
  [{ fromMs: nowMs + dayMs }, /it is not valid before 2026-01-02T00:00:00Z/],
  [{ toMs: nowMs + 300 * dayMs }, /it holds until 2026-10-28T00:00:00Z only: a year from now/],
];
for (const [given, message] of refused) {
  test(`a user's root, is refused: ${message.source}`, async () => {
    const root = await givenRoot(given);
    assert.throws(() => checkRoot(root, nowMs), { code: "invalid-argument", message });
  });
}

test("a user's root, an intermediate, another's key and what is no PEM are refused", async () => {
  const [root, other] = [await createRoot(nowMs), await createRoot(nowMs)];
  const refuses = (given: Authority, message: RegExp) =>
    assert.throws(() => checkRoot(given, nowMs), { code: "invalid-argument", message });
  refuses(await givenRoot({ by: root }), /it is not signed by itself/);
  refuses({ ...root, key: other.key }, /the key is not the certificate's/);
  refuses({ ...root, key: "secret" }, /its key is not an unencrypted private key/);
  refuses({ ...root, certificate: "x" }, /give exactly one certificate/);
  refuses({ ...root, certificate: root.certificate + other.certificate }, /give exactly one/);
});
