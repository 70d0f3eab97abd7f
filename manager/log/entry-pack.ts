/**
 * Entries on their way between the log's threads: two blocks of memory that are handed over instead of copied one entry
 * at a time, which would cost more than writing them. The entries' own memory stays with the core.
 */
import assert from "node:assert/strict";
import type { Entry, EntryBody, Membership } from "../raft/contract.ts";

/** The position is the number that is packed and sealed: only ever add at the end. */
export const entryKinds = ["term-start", "data", "membership"] as const;

export type EntryKind = (typeof entryKinds)[number];

/** An entry as it is kept. */
export interface PackedEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly body: Uint8Array;
}

export interface EntryPack {
  /** Four numbers an entry: index, term, kind, length of the body. */
  readonly places: Float64Array<ArrayBuffer>;
  readonly bodies: Uint8Array<ArrayBuffer>;
}

const numbersPerEntry = 4;
const nothing = new Uint8Array();

export function packEntries(entries: readonly Entry[]): EntryPack {
  return pack(entries.map((entry) => ({ ...placeOf(entry), body: encodeBody(entry) })));
}

export function pack(entries: readonly PackedEntry[]): EntryPack {
  const places = new Float64Array(entries.length * numbersPerEntry);
  const bodies = new Uint8Array(entries.reduce((sum, { body }) => sum + body.length, 0));
  let at = 0;
  for (const [number, { index, term, kind, body }] of entries.entries()) {
    places.set([index, term, entryKinds.indexOf(kind), body.length], number * numbersPerEntry);
    bodies.set(body, at);
    at += body.length;
  }
  return { places, bodies };
}

/** The bodies share the pack's memory. */
export function* unpack({ places, bodies }: EntryPack): Generator<PackedEntry> {
  let at = 0;
  for (let number = 0; number < places.length; number += numbersPerEntry) {
    const place = places.subarray(number, number + numbersPerEntry);
    const [index = 0, term = 0, kindNumber = 0, length = 0] = place;
    const kind = entryKinds[kindNumber];
    assert(kind !== undefined);
    yield { index, term, kind, body: bodies.subarray(at, at + length) };
    at += length;
  }
}

export function unpackEntries(pack: EntryPack): Entry[] {
  return Array.from(unpack(pack), ({ index, term, kind, body }) => ({
    index,
    term,
    ...decodeBody(kind, body),
  }));
}

function placeOf({ index, term, kind }: Entry): Omit<PackedEntry, "body"> {
  return { index, term, kind };
}

function encodeBody(body: EntryBody): Uint8Array {
  switch (body.kind) {
    case "term-start":
      return nothing;
    case "data":
      return body.data;
    case "membership":
      return Buffer.from(JSON.stringify(body.membership));
  }
}

function decodeBody(kind: EntryKind, body: Uint8Array): EntryBody {
  switch (kind) {
    case "term-start":
      return { kind };
    case "data":
      return { kind, data: body };
    case "membership":
      return { kind, membership: JSON.parse(Buffer.from(body).toString()) as Membership };
  }
}
