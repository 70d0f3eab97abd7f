/**
 * The data key of a log file, and how it is wrapped: with a key in a file beside the log, which keeps a copied or thrown
 * away log.db alone from being read, or with the unlock key, which nothing on this host knows.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Random } from "#proto/ports.ts";
import { keyBytes, seal, unseal } from "#proto/seal.ts";
import { parseUnlockKey } from "#proto/unlock-key.ts";
import { damaged } from "./damage.ts";

export type KeyEncryption =
  /** A random key in `PATH.key`, mode 0600. */
  { readonly kind: "file" } | { readonly kind: "unlock-key"; readonly key: string };

export interface WrappedKey {
  readonly kind: KeyEncryption["kind"];
  readonly wrapped: Uint8Array;
}

const sealedAs = Buffer.from("swarm log data key");

const lockedReason = Symbol("locked");

/** Whether the log could not be opened for want of the unlock key. */
export function isLocked(thrown: unknown): boolean {
  for (let cause = thrown; cause instanceof Fault; cause = cause.cause) {
    if (cause.cause === lockedReason) return true;
  }
  return false;
}

export function locked(message: string): Fault {
  return new Fault("failed-precondition", message, { cause: lockedReason });
}

export function newDataKey(random: Random): Uint8Array {
  return Uint8Array.from(random.bytes(keyBytes));
}

/** Wraps the key; a new key file is on the disk when this returns. */
export function wrapDataKey(
  path: string,
  dataKey: Uint8Array,
  keyEncryption: KeyEncryption,
  random: Random,
): WrappedKey {
  const { kind } = keyEncryption;
  const key = kind === "file" ? writeKeyFile(path, random) : parseUnlockKey(keyEncryption.key);
  return { kind, wrapped: seal(key, sealedAs, dataKey, random) };
}

/**
 * The file says which key it needs; with a key file the unlock key is not looked at, so that a host that stopped between
 * two ways of wrapping is opened with either.
 */
export function unwrapDataKey(
  path: string,
  { kind, wrapped }: WrappedKey,
  keyEncryption: KeyEncryption,
): Uint8Array {
  if (kind === "file") {
    const dataKey = unseal(readKeyFile(path), sealedAs, wrapped);
    if (dataKey !== undefined) return dataKey;
    throw damaged(path, `the key in "${keyFilePath(path)}" does not open it`);
  }
  if (keyEncryption.kind !== "unlock-key") {
    throw locked(`the log "${path}" is locked: unlock it with "swarmctl cluster unlock"`);
  }
  const dataKey = unseal(parseUnlockKey(keyEncryption.key), sealedAs, wrapped);
  if (dataKey !== undefined) return dataKey;
  const message = `the log "${path}" is locked with another unlock key: give the newest to "swarmctl cluster unlock"; another manager's "swarmctl cluster unlock-key" prints it`;
  throw locked(message);
}

export function removeKeyFile(path: string): void {
  rmSync(keyFilePath(path), { force: true });
  syncFolder(dirname(path));
}

export function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function keyFilePath(path: string): string {
  return `${path}.key`;
}

function writeKeyFile(path: string, random: Random): Uint8Array {
  const key = random.bytes(keyBytes);
  const temporary = `${keyFilePath(path)}.new`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, "wx", 0o600);
  try {
    writeSync(file, key);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, keyFilePath(path));
  syncFolder(dirname(path));
  return key;
}

function readKeyFile(path: string): Uint8Array {
  const keyFile = keyFilePath(path);
  try {
    const key = readFileSync(keyFile);
    if (key.length === keyBytes) return key;
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") throw Fault.wrap(`Cannot read "${keyFile}"`, thrown);
    throw damaged(path, `its key file "${keyFile}" is missing`);
  }
  throw damaged(path, `its key file "${keyFile}" does not have ${keyBytes} bytes`);
}
