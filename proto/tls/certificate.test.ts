import assert from "node:assert/strict";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "../fault.ts";
import { TestAuthority } from "../testing/test-authority.ts";
import { createCertificateRequest } from "./certificate-request.ts";
import {
  certificateDigest,
  identityOf,
  identityOfSubject,
  parseCertificate,
  publicKeyHash,
  splitCertificates,
  validityOf,
} from "./certificate.ts";
import { TlsIdentityHolder } from "./tls-identity-holder.ts";
import { loadX509 } from "./x509.ts";

const clusterId = "c".repeat(25);
const nodeId = "n".repeat(25);

test("subject, nodes and users are read from their three fields", () => {
  assert.deepEqual(identityOfSubject({ CN: nodeId, OU: "swarm-worker", O: clusterId }), {
    kind: "node",
    nodeId,
    role: "worker",
    clusterId,
  });
  assert.deepEqual(identityOfSubject({ CN: nodeId, OU: "swarm-manager", O: clusterId }), {
    kind: "node",
    nodeId,
    role: "manager",
    clusterId,
  });
  assert.deepEqual(identityOfSubject({ CN: "anna@example", OU: "swarm-user", O: clusterId }), {
    kind: "user",
    name: "anna@example",
    clusterId,
  });
});

const good = { CN: nodeId, OU: "swarm-manager", O: clusterId };
const bad = [
  {},
  { ...good, CN: undefined },
  { ...good, CN: "short" },
  { ...good, CN: [nodeId, nodeId] },
  { ...good, OU: "swarm-king" },
  { ...good, OU: ["swarm-worker", "swarm-manager"] },
  { ...good, O: "x" },
  { ...good, L: "Berlin" },
  { ...good, OU: "swarm-user", CN: "a\0b" },
  { ...good, OU: "swarm-user", CN: "" },
  { ...good, OU: "swarm-user", CN: "x".repeat(65) },
];
for (const subject of bad) {
  test(`subject, ${JSON.stringify(subject)} names nobody`, () => {
    assert.equal(identityOfSubject(subject), undefined);
  });
}

test("subject, whatever it holds, it is read or names nobody", () => {
  const value = fc.oneof(fc.string(), fc.array(fc.string()), fc.constant(nodeId));
  const subjects = fc.dictionary(fc.constantFrom("CN", "OU", "O", "L", "__proto__"), value);
  fc.assert(
    fc.property(subjects, (subject) => {
      const identity = identityOfSubject(subject);
      if (identity !== undefined) assert.match(identity.clusterId, /^[0-9a-z]{25}$/);
    }),
  );
});

test("certificate, names its node, validity, key and digest", async () => {
  const authority = await TestAuthority.create(clusterId);
  const { certificate, key } = await authority.identity({ name: nodeId, role: "manager" });
  const parsed = parseCertificate(certificate);
  assert.deepEqual(identityOf(parsed), { kind: "node", nodeId, role: "manager", clusterId });
  const { notBeforeMs, notAfterMs } = validityOf(parsed);
  assert.equal(notAfterMs - notBeforeMs, 7_200_000);
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  assert.equal(publicKeyHash(parsed), createHash("sha256").update(spki).digest("hex"));
  const digest = certificateDigest(authority.root);
  assert.match(digest, /^[0-9a-z]{50}$/);
  // The same number, the other way round.
  let number = 0n;
  for (const digit of digest) number = number * 36n + BigInt(Number.parseInt(digit, 36));
  const der = new X509Certificate(authority.root).raw;
  assert.equal(
    number.toString(16).padStart(64, "0"),
    createHash("sha256").update(der).digest("hex"),
  );
});

test("certificate, a subject with two units names nobody", async () => {
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const sign = async (name: Record<string, string[]>[]) => {
    const made = await x509.X509CertificateGenerator.createSelfSigned({ name, keys });
    return identityOf(parseCertificate(made.toString("pem")));
  };
  const rest = [{ CN: [nodeId] }, { O: [clusterId] }];
  assert.equal((await sign([...rest, { OU: ["swarm-worker"] }]))?.kind, "node");
  assert.equal(
    await sign([...rest, { OU: ["swarm-worker"] }, { OU: ["swarm-manager"] }]),
    undefined,
  );
  assert.equal(await sign([...rest, { OU: ["swarm-worker", "swarm-manager"] }]), undefined);
});

test("PEM, certificates are told apart; what is none is refused with a Fault", async () => {
  const roots = [(await TestAuthority.create()).root, (await TestAuthority.create()).root];
  assert.deepEqual(splitCertificates(`text\n${roots.join("\n")}`), roots);
  const refused = (text: string) => {
    assert.throws(() => parseCertificate(text), Fault);
    assert.throws(() => certificateDigest(text), Fault);
  };
  const [root = ""] = roots;
  refused("");
  refused(root.slice(0, 200));
  fc.assert(fc.property(fc.string(), refused));
  const damaged = fc.tuple(fc.nat(root.length - 1), fc.constantFrom("A", "/", "=", "\n", "-"));
  fc.assert(
    fc.property(damaged, ([at, letter]) => {
      const text = root.slice(0, at) + letter + root.slice(at + 1);
      try {
        parseCertificate(text);
      } catch (thrown) {
        assert(thrown instanceof Fault, String(thrown));
      }
      splitCertificates(text);
    }),
  );
});

test("request, comes with a key of its own that signed it", async () => {
  const x509 = await loadX509();
  const [one, two] = [await createCertificateRequest(), await createCertificateRequest()];
  assert.notEqual(one.key, two.key);
  const request = new x509.Pkcs10CertificateRequest(one.csr);
  assert(await request.verify());
  const spki = createPublicKey(one.key).export({ type: "spki", format: "der" });
  assert.deepEqual(Buffer.from(request.publicKey.rawData), spki);
});

test("identity holder, tells of later identities until disposed", () => {
  const identity = (certificate: string) => ({ certificate, key: "", caCertificates: "" });
  const holder = new TlsIdentityHolder(identity("one"));
  const told: string[] = [];
  const watch = holder.watch(({ certificate }) => told.push(certificate));
  holder.replace(identity("two"));
  watch[Symbol.dispose]();
  holder.replace(identity("three"));
  assert.deepEqual(told, ["two"]);
  assert.equal(holder.current.certificate, "three");
});
