/**
 * Seals the records of one log file. A record is bound to what it is and where it stands, so that none can be put in
 * another's place; the tag is its checksum. Records of another file cannot get in: each file has a data key of its own.
 *
 * Nonces: 8 random bytes, drawn when the file is opened and after 2^32 records, and a counter of 4 bytes. Within one
 * opening the counter never repeats; random prefixes of two openings meet with a chance under 2^-32 up to 2^16 openings.
 * A counter kept in the file would repeat as soon as an older copy of the file is put back; 12 random bytes for every
 * record would be good for 2^32 records, which is a day of writing.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import type { Random } from "#proto/ports.ts";
import { nonceBytes, sealWithNonce, unseal } from "#proto/seal.ts";

/** The position is the number that is bound to the record: only ever add at the end. */
const kinds = ["state", "chunk", "term-start", "data", "membership"] as const;

export interface RecordPlace {
  readonly kind: (typeof kinds)[number];
  /** Entry: index and term. Chunk: its number and its snapshot's. State: 0 and 0. */
  readonly index: number;
  readonly term: number;
}

const prefixBytes = 8;
const counterMax = 2 ** 32 - 1;

export class RecordSeal {
  readonly #key: KeyObject;
  readonly #random: Random;
  readonly #nonce = new Uint8Array(nonceBytes);
  readonly #nonceView = new DataView(this.#nonce.buffer);
  #counter = counterMax;

  constructor(dataKey: Uint8Array, modules: { random: Random }) {
    this.#key = createSecretKey(dataKey);
    this.#random = modules.random;
  }

  seal(place: RecordPlace, plain: Uint8Array): Uint8Array {
    return sealWithNonce(this.#key, this.#nextNonce(), bound(place), plain);
  }

  /** Undefined where the record is not the one that was sealed for this place. */
  open(place: RecordPlace, sealed: Uint8Array): Uint8Array | undefined {
    return unseal(this.#key, bound(place), sealed);
  }

  #nextNonce(): Uint8Array {
    if (this.#counter === counterMax) {
      this.#nonce.set(this.#random.bytes(prefixBytes));
      this.#counter = 0;
    } else {
      this.#counter += 1;
    }
    this.#nonceView.setUint32(prefixBytes, this.#counter);
    return this.#nonce;
  }
}

function bound({ kind, index, term }: RecordPlace): Uint8Array {
  const bytes = new Uint8Array(17);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kinds.indexOf(kind));
  // Exact, as both are below 2^53.
  view.setFloat64(1, index);
  view.setFloat64(9, term);
  return bytes;
}
