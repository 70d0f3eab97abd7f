import assert from "node:assert/strict";
import { createPublicKey, webcrypto } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import { loadX509 } from "#proto/tls/x509.ts";
import { requestedKey } from "./certificate-request.ts";

const refuses = (csr: string, message: RegExp) =>
  assert.rejects(requestedKey(csr), { code: "invalid-argument", message });

test("request, its key is taken when it proves to have it", async () => {
  const { key, csr } = await createCertificateRequest();
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  assert.deepEqual(await requestedKey(csr), spki);
});

test("request, one with another's key is refused", async () => {
  const x509 = await loadX509();
  const [one, two] = [await createCertificateRequest(), await createCertificateRequest()];
  const [a, b] = [one, two].map(({ csr }) => new x509.Pkcs10CertificateRequest(csr));
  assert(a !== undefined && b !== undefined);
  // The key of the second in the first's place; the signature is still the first's.
  const raw = Buffer.from(a.rawData).toString("latin1");
  const [keyA, keyB] = [a, b].map((r) => Buffer.from(r.publicKey.rawData).toString("latin1"));
  assert(keyA !== undefined && keyB !== undefined && raw.includes(keyA));
  const forged = Buffer.from(raw.replace(keyA, keyB), "latin1");
  await refuses(
    x509.PemConverter.encode(forged, "CERTIFICATE REQUEST"),
    /it is not signed with the key that it is for/,
  );
});

test("request, weak and strange keys, and what is too large, are refused", async () => {
  const x509 = await loadX509();
  const request = async (algorithm: webcrypto.RsaHashedKeyGenParams | webcrypto.EcKeyGenParams) => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const signingAlgorithm = { ...algorithm, hash: "SHA-256" };
    const made = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm });
    return made.toString("pem");
  };
  const rsa = (modulusLength: number) => ({
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
  });
  await refuses(await request(rsa(1024)), /its RSA key has 1024 bits/);
  await requestedKey(await request(rsa(2048)));
  await refuses(await request({ name: "ECDSA", namedCurve: "P-521" }), /curve secp521r1/);
  await refuses("x".repeat(8 * 1024 + 1), /it has 8193 characters, 8192 are the most/);
});

test("request, garbage is refused with a Fault", async () => {
  const x509 = await loadX509();
  await refuses("", /it is not in PEM form/);
  const { csr } = await createCertificateRequest();
  const raw = Buffer.from(new x509.Pkcs10CertificateRequest(csr).rawData);
  const pem = (bytes: Uint8Array) => x509.PemConverter.encode(bytes, "CERTIFICATE REQUEST");
  const never = async (text: string) => {
    const thrown = await requestedKey(text).then(
      () => assert.fail("it was taken"),
      (error: unknown) => error,
    );
    assert(thrown instanceof Fault && thrown.code === "invalid-argument", String(thrown));
  };
  await fc.assert(fc.asyncProperty(fc.string(), never));
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 600 }).map(pem), never));
  // Every byte of a good one matters: those of what is signed, of the signature, and of the shape.
  const damaged = fc.tuple(fc.nat(raw.length - 1), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(damaged, async ([at, flip]) => {
      const bytes = Buffer.from(raw);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      const taken = await requestedKey(pem(bytes)).catch((thrown: unknown) => {
        assert(thrown instanceof Fault && thrown.code === "invalid-argument", String(thrown));
      });
      // Some bytes say the same in another way; then the key is still the one that signed.
      if (taken !== undefined) assert(raw.includes(taken));
    }),
    { numRuns: 500 },
  );
  const cut = fc.nat(raw.length - 1).map((length) => pem(raw.subarray(0, length)));
  await fc.assert(fc.asyncProperty(cut, never));
});

test("request, deeply nested bytes end quickly", async () => {
  const x509 = await loadX509();
  // Lengths that no parser should trust, and as many levels as fit.
  const nested = Buffer.alloc(5_000, Buffer.from([0x30, 0x80]));
  await refuses(x509.PemConverter.encode(nested, "CERTIFICATE REQUEST"), /it cannot be read/);
});
