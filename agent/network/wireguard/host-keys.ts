/**
 * The keys by which this host encrypts networks: the one in use and, while it is being renewed, the next one. They are
 * made here and never leave the host; their file is for root alone, and only `wg` is shown one, as a file.
 *
 * A file that cannot be read is replaced: peers hear of the new key as of any other.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Clock, Log, Random } from "#proto/ports.ts";
import { isRecord } from "../tool-output.ts";

export interface HostKey {
  /** Base64, as `wg` reads it. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** By the wall clock: it counts on while the host is off. */
  readonly madeAtMs: number;
  /** Which of the cluster's rotations it is made for. */
  readonly rotation: number;
}

export interface KeyPair {
  readonly inUse: HostKey;
  readonly next: HostKey | undefined;
}

export interface HostKeysModules {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class HostKeys implements KeyPair {
  readonly #path: string;
  readonly #modules: HostKeysModules;
  #keys: KeyPair;

  static async open(path: string, modules: HostKeysModules): Promise<HostKeys> {
    const stored = await readKeys(path, modules.log);
    if (stored !== undefined) return new HostKeys(path, stored, modules);
    const keys = { inUse: newKey(modules, 0), next: undefined };
    await writeKeys(path, keys);
    return new HostKeys(path, keys, modules);
  }

  /** For `open`. */
  constructor(path: string, keys: KeyPair, modules: HostKeysModules) {
    this.#path = path;
    this.#keys = keys;
    this.#modules = modules;
  }

  get inUse(): HostKey {
    return this.#keys.inUse;
  }

  get next(): HostKey | undefined {
    return this.#keys.next;
  }

  /** Makes the next key; it is on the disk before anybody hears of it. */
  async renew(rotation: number): Promise<void> {
    await this.#keep({ inUse: this.inUse, next: newKey(this.#modules, rotation) });
  }

  /** Takes the next key into use and forgets the one before. */
  async promote(): Promise<void> {
    if (this.next !== undefined) await this.#keep({ inUse: this.next, next: undefined });
  }

  async #keep(keys: KeyPair): Promise<void> {
    await writeKeys(this.#path, keys);
    this.#keys = keys;
  }
}

/** What stands before the 32 bytes of a private X25519 key in PKCS #8 (RFC 8410). */
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex");
const keyBytes = 32;

function newKey({ clock, random }: HostKeysModules, rotation: number): HostKey {
  const bytes = Buffer.from(random.bytes(keyBytes));
  // As RFC 7748 has it, so that this is what the link shows, too.
  bytes.writeUInt8(bytes.readUInt8(0) & 0xf8, 0);
  bytes.writeUInt8((bytes.readUInt8(31) & 0x7f) | 0x40, 31);
  const privateKey = bytes.toString("base64");
  return {
    privateKey,
    publicKey: publicKeyOf(privateKey),
    madeAtMs: clock.now(),
    rotation,
  };
}

export function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([pkcs8Prefix, Buffer.from(privateKey, "base64")]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return key.export({ format: "der", type: "spki" }).subarray(-keyBytes).toString("base64");
}

async function readKeys(path: string, log: Log): Promise<KeyPair | undefined> {
  try {
    return parseKeys(await readFile(path, "utf8"));
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    // Not the cause's own words: those of a JSON parser quote what it read.
    log.warn("this host's key for encrypted networks cannot be read; a new one is made", { path });
    return undefined;
  }
}

/** Throws where it is not what `serializeKeys` wrote. */
export function parseKeys(text: string): KeyPair {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw damaged();
  const inUse = parseKey(value["inUse"]);
  return { inUse, next: value["next"] === undefined ? undefined : parseKey(value["next"]) };
}

export function serializeKeys({ inUse, next }: KeyPair): string {
  const stored = ({ privateKey, madeAtMs, rotation }: HostKey) => ({
    privateKey,
    madeAtMs,
    rotation,
  });
  return JSON.stringify({
    inUse: stored(inUse),
    ...(next !== undefined && { next: stored(next) }),
  });
}

function parseKey(value: unknown): HostKey {
  if (!isRecord(value)) throw damaged();
  const { privateKey, madeAtMs, rotation } = value;
  if (typeof privateKey !== "string" || !isKey(privateKey)) throw damaged();
  if (typeof madeAtMs !== "number" || typeof rotation !== "number") throw damaged();
  return { privateKey, publicKey: publicKeyOf(privateKey), madeAtMs, rotation };
}

/** Whether the text is 32 bytes in base64, as WireGuard writes its keys. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text);
}

function damaged(): Fault {
  return new Fault("data-loss", "the file of this host's keys is damaged");
}

async function writeKeys(path: string, keys: KeyPair): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(`${path}.new`, "w", 0o600);
    try {
      await file.writeFile(serializeKeys(keys));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  } catch (thrown) {
    throw Fault.wrap("Cannot keep this host's key for encrypted networks", thrown);
  }
}
