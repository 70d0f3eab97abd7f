/**
 * Parsers of flag values for commander: each returns the typed value or refuses with a sentence that says what is
 * allowed. Repeatable flags fold: they take what came before and return a longer list.
 */
import { InvalidArgumentError } from "commander";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { Fault } from "#proto/fault.ts";
import { parseNanoCpus, parseSizeBytes } from "#proto/size.ts";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";

/** A parser whose Faults become wrong usage. */
export function flag<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (thrown) {
      if (thrown instanceof Fault) throw new InvalidArgumentError(thrown.message);
      throw thrown;
    }
  };
}

/** The same for a flag that may be given several times. */
export function flags<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  const one = flag(parse);
  return (text, before = []) => [...before, one(text)];
}

export const text = (value: string): string => value;

export function wholeNumber(value: string): bigint {
  if (/^\d{1,18}$/.test(value)) return BigInt(value);
  throw new Fault("invalid-argument", "Write a whole number of 0 or more");
}

/** Everything that an int64 field takes and somebody may mean. */
export function integer(value: string): bigint {
  if (/^-?\d{1,18}$/.test(value)) return BigInt(value);
  throw new Fault("invalid-argument", "Write a whole number");
}

export function durationMs(value: string): number {
  const ms = parseDurationMs(value);
  if (ms < 0) throw new Fault("invalid-argument", "Write a duration of 0 or more, such as 10s");
  return ms;
}

export function duration(value: string): Duration {
  return durationFromMs(durationMs(value));
}

export const size = parseSizeBytes;
export const cpus = parseNanoCpus;

export interface Pair {
  readonly key: string;
  readonly value: string;
}

/** `key=value` or `key`, as labels and options are written. */
export function pair(value: string): Pair {
  const [key, rest] = splitAt(value, "=");
  if (key === "") throw new Fault("invalid-argument", "Write key=value");
  return { key, value: rest ?? "" };
}

/** The last one wins where a key is given twice. */
export function recordOf(pairs: readonly Pair[] = []): Record<string, string> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}

/** A value that is one of a few words. */
export function oneOf<T>(words: Readonly<Record<string, T>>): (value: string) => T {
  return (value) => {
    const meaning = Object.hasOwn(words, value) ? words[value] : undefined;
    if (meaning !== undefined) return meaning;
    throw new Fault("invalid-argument", `Choose one of: ${Object.keys(words).join(", ")}`);
  };
}

/** `a=b,c,d=e` in order; a field may be quoted as in CSV to hold commas. */
export function parseFields(value: string): Pair[] {
  return splitFields(value).map((field) => {
    const [key, rest] = splitAt(field, "=");
    if (key === "") throw new Fault("invalid-argument", `"${value}" has an empty field`);
    return { key: key.toLowerCase(), value: rest ?? "" };
  });
}

function splitFields(value: string): string[] {
  const fields: string[] = [];
  let rest = value;
  for (;;) {
    const match = /^(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/.exec(rest);
    if (match === null) throw new Fault("invalid-argument", `"${value}" has a quote out of place`);
    const [whole, quoted, plain, separator] = match;
    fields.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (separator === "") return fields;
    rest = rest.slice(whole.length);
  }
}

export function splitAt(value: string, separator: string): [string, string | undefined] {
  const at = value.indexOf(separator);
  return at < 0 ? [value, undefined] : [value.slice(0, at), value.slice(at + separator.length)];
}
