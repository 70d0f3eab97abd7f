/**
 * A node's public keys as it announces them (NodeDescription.encryption_key): the one in use and, after a space, the one
 * that comes. Peers know both before the host changes over, so that its first packets under the new key are understood.
 */
import { isKey, type KeyPair } from "./host-keys.ts";

export interface AnnouncedKey {
  readonly inUse: string;
  readonly next?: string;
}

export function announce({ inUse, next }: KeyPair): string {
  return next === undefined ? inUse.publicKey : `${inUse.publicKey} ${next.publicKey}`;
}

/** Undefined: the node carries no encrypted networks, or says what cannot be understood. */
export function parseAnnounced(text: string): AnnouncedKey | undefined {
  const [inUse = "", next, ...more] = text.split(" ");
  if (!isKey(inUse) || more.length > 0) return undefined;
  if (next === undefined) return { inUse };
  return isKey(next) && next !== inUse ? { inUse, next } : undefined;
}
