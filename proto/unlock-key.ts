/**
 * The key that a user keeps while the managers lock themselves: SWMKEY-1- and 32 random bytes in base64url, 43 characters.
 * It seals the data key of a manager's log and the private key of the node.
 */
import { Fault } from "./fault.ts";
import type { Random } from "./ports.ts";
import { keyBytes } from "./seal.ts";

const prefix = "SWMKEY-1-";

export function newUnlockKey(random: Random): string {
  return prefix + Buffer.from(random.bytes(keyBytes)).toString("base64url");
}

/** The bytes to seal with; "invalid-argument" for what is no unlock key. */
export function parseUnlockKey(text: string): Uint8Array {
  const key = Buffer.from(text.slice(prefix.length), "base64url");
  // The decoder passes over what it does not know: only what encodes to the same text again is a key.
  if (key.length !== keyBytes || text !== prefix + key.toString("base64url")) {
    const message = `this is not an unlock key: one is "${prefix}" and 43 characters, as "swarmctl cluster unlock-key" prints it`;
    throw new Fault("invalid-argument", message);
  }
  return key;
}
