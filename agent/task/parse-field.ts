/** Fields of the JSON files that this program writes for its next run; anything else is a "data-loss" Fault. Pure. */
import { Fault } from "#proto/fault.ts";

export type Fields = Readonly<Record<string, unknown>>;

export function parseFields(value: unknown): Fields {
  if (typeof value === "object" && value !== null) return { ...value };
  throw damaged("an object is missing");
}

export function parseList(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw damaged("a list is missing");
}

export function parseNumber(value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw damaged("a number is missing");
}

export function parseText(value: unknown): string {
  if (typeof value === "string") return value;
  throw damaged("a text is missing");
}

export function parseOneOf<const T extends string>(value: unknown, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === value);
  if (found === undefined) throw damaged(`unknown word ${JSON.stringify(value)}`);
  return found;
}

export function damaged(what: string): Fault {
  return new Fault("data-loss", `the file of a task's state is damaged: ${what}`);
}
