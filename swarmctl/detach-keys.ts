/** The keys that take a terminal's user out of a container without ending what runs there: ctrl-p ctrl-q as with Docker. */
import { Fault } from "#proto/fault.ts";

export const detachKeysDefault = "ctrl-p,ctrl-q";

/** What follows "ctrl-": letters, and the few others that have a control character. */
const controlBase = 64;

export function parseDetachKeys(text: string): Uint8Array {
  if (text === "") return new Uint8Array();
  return Uint8Array.from(text.split(","), (key) => {
    const [, control] = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key) ?? [];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - controlBase;
    if (/^[\x21-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw new Fault(
      "invalid-argument",
      `"${key}" is no key: write a character or ctrl-X, with commas between, such as ${detachKeysDefault}`,
    );
  });
}

/** Looks for the keys in what is typed. What may be their beginning is held back until it is known. */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What is to be sent; `detached`: the keys were pressed, and what came after them does not matter. */
  push(typed: Uint8Array): { readonly data: Uint8Array; readonly detached: boolean } {
    if (this.#keys.length === 0) return { data: typed, detached: false };
    const data: number[] = [];
    for (const byte of typed) {
      if (byte !== this.#keys[this.#matched]) {
        data.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte === this.#keys[this.#matched]) this.#matched += 1;
      else data.push(byte);
      if (this.#matched === this.#keys.length)
        return { data: Uint8Array.from(data), detached: true };
    }
    return { data: Uint8Array.from(data), detached: false };
  }
}
