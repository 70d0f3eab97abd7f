/** A cluster's authority for tests: certificates as managers sign them, and wrong ones as they never would. */
import { webcrypto } from "node:crypto";
import type { TlsIdentity } from "../manager-messages.ts";
import { newId } from "../ids.ts";
import { systemRandom } from "../system-ports.ts";
import { organizationalUnits } from "../tls/certificate.ts";
import { TlsIdentityHolder } from "../tls/tls-identity-holder.ts";
import { loadX509 } from "../tls/x509.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const hourMs = 3_600_000;

export interface TestIdentityOptions {
  readonly role?: keyof typeof organizationalUnits;
  /** The node's ID, or the user's name. */
  readonly name?: string;
  readonly clusterId?: string;
  /** Both relative to now. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

export class TestAuthority {
  readonly clusterId: string;
  /** PEM. */
  readonly root: string;
  readonly #keys: webcrypto.CryptoKeyPair;

  /** For `create`. */
  constructor(clusterId: string, root: string, keys: webcrypto.CryptoKeyPair) {
    this.clusterId = clusterId;
    this.root = root;
    this.#keys = keys;
  }

  static async create(clusterId = newId(systemRandom)): Promise<TestAuthority> {
    const x509 = await loadX509();
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: ["swarm-ca"] }],
      keys,
      notBefore: new Date(Date.now() - hourMs),
      notAfter: new Date(Date.now() + 24 * hourMs),
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new TestAuthority(clusterId, `${certificate.toString("pem")}\n`, keys);
  }

  async identity(options: TestIdentityOptions = {}): Promise<TlsIdentity> {
    const x509 = await loadX509();
    const {
      role = "worker",
      clusterId = this.clusterId,
      fromMs = -hourMs,
      toMs = hourMs,
    } = options;
    const name = options.name ?? newId(systemRandom);
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [name] }, { OU: [organizationalUnits[role]] }, { O: [clusterId] }],
      issuer: [{ CN: ["swarm-ca"] }],
      notBefore: new Date(Date.now() + fromMs),
      notAfter: new Date(Date.now() + toMs),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      // Tells authorities of one name apart.
      extensions: [await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey)],
    });
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
    return {
      certificate: `${certificate.toString("pem")}\n`,
      key: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
      caCertificates: this.root,
    };
  }

  async holder(options: TestIdentityOptions = {}): Promise<TlsIdentityHolder> {
    return new TlsIdentityHolder(await this.identity(options));
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}
