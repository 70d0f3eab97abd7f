/**
 * The functions of templates: Go's own and those that Docker adds. Values are strings, numbers, booleans, null (Go's nil),
 * arrays, Maps (Go's maps) and plain objects (Go's structs).
 */
import { Fault } from "#proto/fault.ts";

type TemplateFunction = (...args: readonly unknown[]) => unknown;

interface Entry {
  readonly min: number;
  readonly max: number;
  readonly call: TemplateFunction;
}

/** `and` and `or` are the evaluator's: they leave out what they need not know. */
export const lazyFunctions: readonly string[] = ["and", "or"];

/** Docker's, which in a heading leave the words that they get. */
const dockerFunctions: Readonly<Record<string, Entry>> = {
  json: exactly(1, (value) => toJsonText(value)),
  split: exactly(2, (value, separator) => string(value).split(string(separator))),
  join: exactly(2, (value, separator) => list(value).map(printed).join(string(separator))),
  title: exactly(1, (value) =>
    string(value).replace(
      /(^|[^\p{L}\p{Nd}_])(\p{Ll})/gu,
      (_, before: string, letter: string) => `${before}${letter.toUpperCase()}`,
    ),
  ),
  lower: exactly(1, (value) => string(value).toLowerCase()),
  upper: exactly(1, (value) => string(value).toUpperCase()),
  pad: exactly(3, (value, before, after) =>
    string(value) === ""
      ? ""
      : " ".repeat(count(before)) + string(value) + " ".repeat(count(after)),
  ),
  truncate: exactly(2, (value, length) => cut(string(value), count(length))),
};

const functions: Readonly<Record<string, Entry>> = {
  ...dockerFunctions,
  not: exactly(1, (value) => !isTrue(value)),
  len: exactly(1, lengthOf),
  index: atLeast(1, (value, ...keys) => keys.reduce(elementAt, value)),
  slice: between(1, 3, (value, from = 0, to = lengthOf(value)) =>
    sliceOf(value, count(from), count(to)),
  ),
  print: atLeast(0, (...values) => sprint(values)),
  println: atLeast(0, (...values) => `${values.map(printed).join(" ")}\n`),
  printf: atLeast(1, (format, ...values) => formatText(string(format), values)),
  eq: atLeast(2, (value, ...others) => others.some((other) => isEqual(value, other))),
  ne: exactly(2, (a, b) => !isEqual(a, b)),
  lt: exactly(2, (a, b) => compare(a, b) < 0),
  le: exactly(2, (a, b) => compare(a, b) <= 0),
  gt: exactly(2, (a, b) => compare(a, b) > 0),
  ge: exactly(2, (a, b) => compare(a, b) >= 0),
};

export const functionNames: readonly string[] = [
  ...lazyFunctions,
  ...Object.keys(functions),
].toSorted();

export function isFunction(name: string): boolean {
  return lazyFunctions.includes(name) || Object.hasOwn(functions, name);
}

export function callFunction(name: string, args: readonly unknown[]): unknown {
  const entry = functions[name];
  if (entry === undefined) throw problem(`there is no function "${name}"`);
  if (args.length < entry.min || args.length > entry.max) {
    const wanted = entry.max === entry.min ? `${entry.min}` : `at least ${entry.min}`;
    throw problem(`"${name}" takes ${wanted} values, not ${args.length}`);
  }
  return entry.call(...args);
}

export function callInHeading(name: string, args: readonly unknown[]): unknown {
  return Object.hasOwn(dockerFunctions, name) ? args[0] : callFunction(name, args);
}

function exactly(args: number, call: TemplateFunction): Entry {
  return { min: args, max: args, call };
}

function atLeast(min: number, call: TemplateFunction): Entry {
  return { min, max: Number.POSITIVE_INFINITY, call };
}

function between(min: number, max: number, call: TemplateFunction): Entry {
  return { min, max, call };
}

function problem(text: string): Fault {
  return new Fault("invalid-argument", text);
}

/** By code points, as Go counts runes. */
function cut(text: string, length: number): string {
  return Array.from(text).slice(0, length).join("");
}

function string(value: unknown): string {
  if (typeof value === "string") return value;
  throw problem(`${typeWord(value)} stands where text is wanted`);
}

function count(value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= 1e6) {
    return number;
  }
  throw problem(`${typeWord(value)} stands where a whole number of 0 or more is wanted`);
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw problem(`${typeWord(value)} stands where a list is wanted`);
}

export function typeWord(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a map";
  return (
    { string: "text", number: "a number", bigint: "a number", boolean: "true or false" }[
      typeof value as string
    ] ?? "an object"
  );
}

/** Go's truth: what is empty is false. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (value instanceof Map) return value.size;
  return list(value).length;
}

function elementAt(value: unknown, key: unknown): unknown {
  // A map that has no such key answers its type's zero; ours hold text.
  if (value instanceof Map) return value.get(key) ?? "";
  const elements = typeof value === "string" ? [...Buffer.from(value)] : list(value);
  const index = count(key);
  if (index < elements.length) return elements[index];
  throw problem(`there is no element ${index}: the list has ${elements.length}`);
}

function sliceOf(value: unknown, from: number, to: number): unknown {
  if (from > to || to > lengthOf(value)) throw problem(`there is no slice from ${from} to ${to}`);
  if (typeof value === "string") return Buffer.from(value).subarray(from, to).toString();
  return list(value).slice(from, to);
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === null || b === null) return a === b;
  return compare(a, b) === 0;
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.from(a).compare(Buffer.from(b));
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === "boolean" && typeof b === "boolean") return Number(a) - Number(b);
  throw problem(`${typeWord(a)} and ${typeWord(b)} do not compare`);
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

/** As Go prints a value. */
export function printed(value: unknown): string {
  if (value === null || value === undefined) return "<no value>";
  if (Array.isArray(value)) return `[${value.map(printed).join(" ")}]`;
  if (value instanceof Map) return `map[${entriesOf(value).map(printedEntry).join(" ")}]`;
  if (typeof value === "object") return `{${Object.values(value).map(printed).join(" ")}}`;
  return typeof value === "string" ? value : `${value as number | bigint | boolean}`;
}

/** By key, as Go goes through maps. */
export function entriesOf(map: ReadonlyMap<unknown, unknown>): [unknown, unknown][] {
  return [...map].toSorted(([a], [b]) => compare(a, b));
}

function printedEntry([key, value]: readonly [unknown, unknown]): string {
  return `${printed(key)}:${printed(value)}`;
}

function toJsonText(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) => {
    if (inner instanceof Map) return Object.fromEntries(entriesOf(inner));
    if (typeof inner !== "bigint") return inner;
    return Number.isSafeInteger(Number(inner)) ? Number(inner) : String(inner);
  });
}

const verbs = /%([-0+ ]*)(\d{1,4})?(?:\.(\d{1,4}))?(.|$)/gsu;

/** As Go's Sprint: a space between two values of which neither is text. */
function sprint(values: readonly unknown[]): string {
  return values
    .map((value, index) => {
      const isApart =
        index > 0 && [values[index - 1], value].every((one) => typeof one !== "string");
      return `${isApart ? " " : ""}${printed(value)}`;
    })
    .join("");
}

/** The verbs of Go's Printf that formats use. */
function formatText(format: string, values: readonly unknown[]): string {
  let next = 0;
  const text = format.replace(verbs, (...found: (string | undefined)[]) => {
    const [whole = "", flags = "", width = "0", precision, verb = ""] = found;
    if (verb === "%") return "%";
    if (next >= values.length) throw problem(`"${whole}" of printf has no value`);
    const body = verbText(verb, values[next], precision);
    next += 1;
    if (flags.includes("-")) return body.padEnd(Number(width));
    return body.padStart(Number(width), flags.includes("0") && verb !== "s" ? "0" : " ");
  });
  if (next < values.length) throw problem(`printf has ${values.length} values for ${next} verbs`);
  return text;
}

function verbText(verb: string, value: unknown, precision: string | undefined): string {
  switch (verb) {
    case "v":
    case "s": {
      const text = printed(value);
      return precision === undefined ? text : cut(text, Number(precision));
    }
    case "q":
      return JSON.stringify(printed(value));
    case "t":
      if (typeof value === "boolean") return String(value);
      break;
    case "d":
      if (isNumber(value) && Number.isInteger(Number(value))) return String(value);
      break;
    case "x":
      if (typeof value === "string") return Buffer.from(value).toString("hex");
      if (isNumber(value)) return value.toString(16);
      break;
    case "f":
      if (isNumber(value)) return Number(value).toFixed(Math.min(Number(precision ?? 6), 100));
      break;
    default:
      throw problem(`printf has no verb "%${verb}": it has v, s, q, d, x, f, t`);
  }
  throw problem(`"%${verb}" of printf takes no such value (${typeWord(value)})`);
}
