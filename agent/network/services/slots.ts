/**
 * Which backend has which slot of a service's address or port. Pure, and the same for the same input: chance is spread by
 * hashes of what is dealt, not drawn.
 */
import { largeSlots, smallSlots } from "./maps.ts";

/** Backend of each slot. What was read from a kernel may have holes. */
export type Slots = readonly (string | undefined)[];

/**
 * Even to one slot, and as near to `previous` as that can be: who stays keeps its slots, those of who went are dealt anew,
 * and a newcomer gets its share from those who have most. More backends than the largest number of slots: some get none;
 * with another `seed` on each host these are others on each.
 */
export function dealSlots(previous: Slots, backends: readonly string[], seed: string): Slots {
  if (backends.length === 0) return [];
  const size = backends.length > smallSlots ? largeSlots : smallSlots;
  const held = countSlots(previous.slice(0, size));
  const quotas = shareOut(inOrder(backends, held, seed).slice(0, size), size);
  const slots: (string | undefined)[] = Array.from({ length: size }, (_, slot) => {
    const backend = previous[slot];
    return backend !== undefined && take(quotas, backend) ? backend : undefined;
  });
  const left = [...quotas].flatMap(([backend, count]) => Array<string>(count).fill(backend));
  return slots.map((backend) => backend ?? left.pop());
}

/** Those with most slots first: they can have the odd ones without a change. Among equals a host's own order. */
function inOrder(
  backends: readonly string[],
  held: ReadonlyMap<string, number>,
  seed: string,
): readonly string[] {
  const rank = new Map(backends.map((backend) => [backend, hash(`${seed} ${backend}`)]));
  const of = (map: ReadonlyMap<string, number>, backend: string) => map.get(backend) ?? 0;
  return [...rank.keys()].sort(
    (a, b) => of(held, b) - of(held, a) || of(rank, a) - of(rank, b) || (a < b ? -1 : 1),
  );
}

function shareOut(backends: readonly string[], size: number): Map<string, number> {
  const share = Math.floor(size / backends.length);
  const odd = size % backends.length;
  return new Map(backends.map((backend, index) => [backend, share + (index < odd ? 1 : 0)]));
}

function take(quotas: Map<string, number>, backend: string): boolean {
  const left = quotas.get(backend) ?? 0;
  if (left > 0) quotas.set(backend, left - 1);
  return left > 0;
}

function countSlots(slots: Slots): Map<string, number> {
  const counts = new Map<string, number>();
  for (const backend of slots) {
    if (backend !== undefined) counts.set(backend, (counts.get(backend) ?? 0) + 1);
  }
  return counts;
}

/**
 * Rendezvous hashing: each slot, and so each client, goes to the backend with the highest score there. All hosts agree
 * without a word and without a past, and a client moves only when its backend goes or a newcomer's score is higher. 1,020 slots:
 * among 60, a backend of 20 would often have none. One that has none all the same is given the slot that it scores most in.
 */
export function dealAffineSlots(backends: readonly string[]): Slots {
  if (backends.length === 0) return [];
  const scored = [...new Set(backends)].sort().map((backend) => ({ backend, key: hash(backend) }));
  const slots = Array.from({ length: largeSlots }, (_, slot) => highest(scored, slot));
  const held = countSlots(slots);
  for (const { backend, key } of scored) {
    if (held.has(backend)) continue;
    const slot = bestSlot(key, (at) => (held.get(slots[at] ?? "") ?? 0) > 1);
    if (slot === undefined) break;
    const holder = slots[slot] ?? "";
    held.set(holder, (held.get(holder) ?? 0) - 1);
    held.set(backend, 1);
    slots[slot] = backend;
  }
  return slots;
}

interface Scored {
  readonly backend: string;
  readonly key: number;
}

function highest(scored: readonly Scored[], slot: number): string {
  let best = "";
  let bestScore = -1;
  for (const { backend, key } of scored) {
    const value = score(key, slot);
    if (value > bestScore) {
      best = backend;
      bestScore = value;
    }
  }
  return best;
}

function bestSlot(key: number, isFree: (slot: number) => boolean): number | undefined {
  let best: number | undefined;
  for (let slot = 0; slot < largeSlots; slot += 1) {
    if (isFree(slot) && (best === undefined || score(key, slot) > score(key, best))) best = slot;
  }
  return best;
}

function score(key: number, slot: number): number {
  return scatter(key ^ scatter(slot + 1));
}

/** FNV-1a of the text's characters, scattered. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return scatter(value);
}

/** The last step of MurmurHash3: each bit of the input changes half of the output's. */
function scatter(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
