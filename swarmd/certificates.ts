/**
 * The node's certificate and its key, in three files of one folder, for root alone:
 *
 *     node.crt   the certificate with its intermediates
 *     node.key   its private key; sealed with the unlock key where the managers lock themselves
 *     ca.crt     every root to trust
 *
 * A key and its certificate change together though they are two files: the new key is written beside the old one, then
 * the certificate is replaced, then the key. Whoever finds a certificate that is the new key's finishes that.
 */
import { createPrivateKey } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Random } from "#proto/ports.ts";
import { seal, unseal } from "#proto/seal.ts";
import { parseCertificate, splitCertificates } from "#proto/tls/certificate.ts";
import { parseUnlockKey } from "#proto/unlock-key.ts";
import { renameDurably, writeDurably, writeSynced } from "./durable-file.ts";

const sealedPattern =
  /^-----BEGIN SEALED PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END SEALED PRIVATE KEY-----\n$/;
const sealedAs = Buffer.from("node.key");

export class CertificateFiles {
  readonly folder: string;
  readonly #random: Random;
  readonly #certificate: string;
  readonly #key: string;
  readonly #newKey: string;
  readonly #roots: string;

  constructor(folder: string, random: Random) {
    this.folder = folder;
    this.#random = random;
    this.#certificate = join(folder, "node.crt");
    this.#key = join(folder, "node.key");
    this.#newKey = join(folder, "node.key.next");
    this.#roots = join(folder, "ca.crt");
  }

  /** "locked": the key does not open with this unlock key, or needs one. A Fault "data-loss" for what is damaged. */
  async read(unlockKey = ""): Promise<TlsIdentity | "locked"> {
    const certificate = await this.readCertificate();
    const caCertificates = await this.#readText(this.#roots);
    if (splitCertificates(caCertificates).length === 0) {
      throw this.#damaged("ca.crt holds no certificate");
    }
    const waiting = await this.#readIfThere(this.#newKey);
    const next = waiting === undefined ? undefined : openKey(waiting, unlockKey);
    if (next?.state === "open" && this.#fits(certificate, next.pem)) {
      await renameDurably(this.#newKey, this.#key);
      return { certificate, key: next.pem, caCertificates };
    }
    const key = openKey(await this.#readText(this.#key), unlockKey);
    switch (key.state) {
      case "locked":
        return "locked";
      case "damaged":
        throw this.#damaged("node.key is not a private key");
      case "open":
        if (!this.#fits(certificate, key.pem)) {
          throw this.#damaged("node.key is not the key of node.crt");
        }
        return { certificate, key: key.pem, caCertificates };
    }
  }

  /** The certificate alone, which is there to read also while its key is locked. */
  async readCertificate(): Promise<string> {
    const text = await this.#readText(this.#certificate);
    try {
      parseCertificate(text);
    } catch (thrown) {
      throw this.#damaged(`node.crt: ${Fault.from(thrown).message}`, thrown);
    }
    return text;
  }

  /** Durable when resolved. With an unlock key, the private key is sealed with it. */
  async write(identity: TlsIdentity, unlockKey: string): Promise<void> {
    const { certificate, key, caCertificates } = identity;
    await writeSynced(this.#newKey, unlockKey === "" ? key : this.#seal(key, unlockKey));
    await writeDurably(this.#roots, caCertificates);
    await writeDurably(this.#certificate, certificate);
    await renameDurably(this.#newKey, this.#key);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  #seal(key: string, unlockKey: string): string {
    const sealed = seal(parseUnlockKey(unlockKey), sealedAs, Buffer.from(key), this.#random);
    const lines = Buffer.from(sealed).toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
    return `-----BEGIN SEALED PRIVATE KEY-----\n${lines}\n-----END SEALED PRIVATE KEY-----\n`;
  }

  #fits(certificate: string, key: string): boolean {
    return parseCertificate(certificate).checkPrivateKey(createPrivateKey(key));
  }

  async #readText(path: string): Promise<string> {
    const text = await this.#readIfThere(path);
    if (text === undefined) throw this.#damaged(`"${path}" is missing`);
    return text;
  }

  async #readIfThere(path: string): Promise<string | undefined> {
    try {
      return await readFile(path, "utf8");
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return undefined;
      throw Fault.wrap(`Cannot read "${path}"`, thrown);
    }
  }

  #damaged(why: string, cause?: unknown): Fault {
    return new Fault(
      "data-loss",
      `Cannot use the node's certificate in "${this.folder}": ${why}; put the files back, or leave the cluster with --force and join it again`,
      { cause },
    );
  }
}

type OpenedKey =
  | { readonly state: "open" /** PKCS #8 in PEM. */; readonly pem: string }
  | { readonly state: "locked" }
  | { readonly state: "damaged" };

function openKey(text: string, unlockKey: string): OpenedKey {
  const [, sealed] = sealedPattern.exec(text) ?? [];
  if (sealed === undefined) {
    return isPrivateKey(text) ? { state: "open", pem: text } : { state: "damaged" };
  }
  if (unlockKey === "") return { state: "locked" };
  const key = unseal(parseUnlockKey(unlockKey), sealedAs, Buffer.from(sealed, "base64"));
  if (key === undefined) return { state: "locked" };
  return { state: "open", pem: Buffer.from(key).toString("utf8") };
}

function isPrivateKey(text: string): boolean {
  try {
    createPrivateKey(text);
    return true;
  } catch {
    return false;
  }
}
