/**
 * A map that does not change, of which the next one is made by what is different. Of two maps of 40,000 addresses that came of
 * each other all parts but a few are the same object, so that a difference, or whatever is made of a map part by part,
 * costs as much as has changed. In no order that means anything.
 */

/** Of a key: which part it is in. */
const partCount = 1024;

export type Part<Value> = ReadonlyMap<string, Value>;

const noEntries: Part<never> = new Map<string, never>();

const nothing: readonly Part<never>[] = Array.from({ length: partCount }, () => noEntries);

export class PartedMap<Value> {
  readonly size: number;
  readonly parts: readonly Part<Value>[];

  /** Of keys that come twice, the last one holds. */
  static from<Value>(entries: Iterable<readonly [string, Value]>): PartedMap<Value> {
    return new PartedMap<Value>(nothing).with([], entries);
  }

  /** For `from` and `map`. */
  constructor(parts: readonly Part<Value>[]) {
    this.parts = parts;
    let size = 0;
    for (const part of parts) size += part.size;
    this.size = size;
  }

  get(key: string): Value | undefined {
    return this.parts[placeOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.parts[placeOf(key)]?.has(key) ?? false;
  }

  *[Symbol.iterator](): Generator<readonly [string, Value]> {
    for (const part of this.parts) yield* part;
  }

  *keys(): Generator<string> {
    for (const part of this.parts) yield* part.keys();
  }

  /** Without the keys that are gone; then with the entries that came. */
  with(gone: Iterable<string>, came: Iterable<readonly [string, Value]>): PartedMap<Value> {
    const parts = [...this.parts];
    const fresh = new Map<number, Map<string, Value>>();
    const partOf = (place: number) => {
      const part = fresh.get(place) ?? new Map(parts[place]);
      fresh.set(place, part);
      parts[place] = part;
      return part;
    };
    for (const key of gone) if (this.has(key)) partOf(placeOf(key)).delete(key);
    for (const [key, value] of came) partOf(placeOf(key)).set(key, value);
    return fresh.size === 0 ? this : new PartedMap(parts);
  }

  /** What is not, or not so, in the other one. */
  *notIn(other: PartedMap<Value>): Generator<readonly [string, Value]> {
    for (let place = 0; place < partCount; place += 1) {
      const part = this.parts[place] ?? noEntries;
      const theirs = other.parts[place];
      if (part === theirs) continue;
      for (const [key, value] of part) {
        if (theirs?.get(key) !== value || !theirs.has(key)) yield [key, value];
      }
    }
  }

  /** The same, and of the other one's objects as far as these hold the same: the next differences are short ones. */
  like(other: PartedMap<Value>): PartedMap<Value> {
    return new PartedMap(
      this.parts.map((part, place) => {
        const theirs = other.parts[place];
        return theirs !== undefined && isSame(part, theirs) ? theirs : part;
      }),
    );
  }

  /** Part by part; each key stays in its part. */
  map<Other>(change: (part: Part<Value>) => Part<Other>): PartedMap<Other> {
    return new PartedMap(this.parts.map(change));
  }
}

/** The same for each entry; a part that was looked into before is not looked into again. Undefined: there is no such entry. */
export function deriving<Value, Other>(
  derive: (key: string, value: Value) => Other | undefined,
): (map: PartedMap<Value>) => PartedMap<Other> {
  const known = new WeakMap<Part<Value>, Part<Other>>();
  return (map) =>
    map.map((part) => {
      const derived = known.get(part) ?? derivePart(part, derive);
      known.set(part, derived);
      return derived;
    });
}

function derivePart<Value, Other>(
  part: Part<Value>,
  derive: (key: string, value: Value) => Other | undefined,
): Part<Other> {
  const derived = new Map<string, Other>();
  for (const [key, value] of part) {
    const other = derive(key, value);
    if (other !== undefined) derived.set(key, other);
  }
  return derived;
}

function isSame<Value>(part: Part<Value>, other: Part<Value>): boolean {
  if (part === other) return true;
  if (part.size !== other.size) return false;
  for (const [key, value] of part) {
    if (other.get(key) !== value || !other.has(key)) return false;
  }
  return true;
}

/** FNV-1a of the text's characters. */
function placeOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (partCount - 1);
}
