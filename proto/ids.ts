/** IDs of objects: 25 characters of base 36, as Swarm's. Random, so that no two managers need to agree on the next one. */
import type { Random } from "./ports.ts";

export const idLength = 25;

const idPattern = /^[0-9a-z]{25}$/;

/** About 129 bits of randomness. */
export function newId(random: Random): string {
  const bytes = random.bytes(20);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value.toString(36).padStart(idLength, "0").slice(-idLength);
}

export function isId(text: string): boolean {
  return idPattern.test(text);
}
