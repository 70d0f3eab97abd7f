/**
 * AES-256-GCM for what rests on a disk. A sealed value is nonce (12 bytes), ciphertext, tag (16 bytes). What it is sealed
 * "as" is bound to it and not kept in it: a value that was moved to another's place does not open.
 */
import { createCipheriv, createDecipheriv, type KeyObject } from "node:crypto";
import type { Random } from "./ports.ts";

const cipherName = "aes-256-gcm";
export const keyBytes = 32;
export const nonceBytes = 12;
const tagBytes = 16;

type Key = Uint8Array | KeyObject;

/** For few values under one key: the nonce is random, which is safe for 2^32 of them (NIST SP 800-38D §8.3). */
export function seal(key: Key, as: Uint8Array, plain: Uint8Array, random: Random): Uint8Array {
  return sealWithNonce(key, random.bytes(nonceBytes), as, plain);
}

/** The nonce must never have been used with this key: two values under one nonce give away both, and the tags' key. */
export function sealWithNonce(
  key: Key,
  nonce: Uint8Array,
  as: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(as);
  const sealed = new Uint8Array(nonceBytes + plain.length + tagBytes);
  sealed.set(nonce);
  sealed.set(cipher.update(plain), nonceBytes);
  cipher.final();
  sealed.set(cipher.getAuthTag(), nonceBytes + plain.length);
  return sealed;
}

/** Undefined where the key is another, the value was changed, or it was sealed as something else. */
export function unseal(key: Key, as: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const tagAt = sealed.length - tagBytes;
  if (tagAt < nonceBytes) return undefined;
  const decipher = createDecipheriv(cipherName, key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(as);
  decipher.setAuthTag(sealed.subarray(tagAt));
  const plain = decipher.update(sealed.subarray(nonceBytes, tagAt));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}
