/**
 * Reads JSON that others wrote: each function takes an unknown value and the place where it stood, and returns it typed
 * or throws a Fault that names the place. Keys that nobody asks for are ignored, as the image specifications demand.
 */
import { Fault } from "#proto/fault.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw Fault.wrap("it is not JSON", new Fault("failed-precondition", Fault.from(error).message));
  }
}

export function parseObject(value: unknown, where: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw refusal(where, "an object", value);
}

export function parseText(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  throw refusal(where, "a string", value);
}

/** A size or count: an integer from 0 on that a double holds exactly. */
export function parseCount(value: unknown, where: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw refusal(where, "an integer that is not negative", value);
}

/** Absent and null are an empty list: Go programs write both. */
export function parseList<T>(
  value: unknown,
  where: string,
  parseItem: (item: unknown, where: string) => T,
): readonly T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw refusal(where, "a list", value);
  return value.map((item, index) => parseItem(item, `${where}[${index}]`));
}

/** Absent and null are undefined. */
export function parseOptional<T>(
  value: unknown,
  where: string,
  parseItem: (item: unknown, where: string) => T,
): T | undefined {
  return value === undefined || value === null ? undefined : parseItem(value, where);
}

/** The entries of an object that may be absent or null. */
export function parseEntries(value: unknown, where: string): readonly [string, unknown][] {
  return Object.entries(parseOptional(value, where, parseObject) ?? {});
}

function refusal(where: string, wanted: string, value: unknown): Fault {
  const got = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 40);
  return new Fault("failed-precondition", `${where} must be ${wanted}, but is ${got}`);
}
