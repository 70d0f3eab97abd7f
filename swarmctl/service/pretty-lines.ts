/** The lines of `service inspect --pretty`. */
import { visible } from "../output/table.ts";

export type Line = readonly [indent: number, key: string, value?: string | undefined];

export function formatLine([indent, key, value]: Line): string {
  const begin = `${"  ".repeat(indent)}${visible(key)}`;
  if (value === undefined) return begin;
  return `${`${begin}:`.padEnd(17)} ${visible(value)}`.trimEnd();
}

/** Nothing where it would be empty. */
export function section(title: string, lines: readonly Line[]): Line[] {
  return lines.length === 0 ? [] : [[0, title], ...lines];
}

export function optional(indent: number, key: string, value: string): Line[] {
  return value === "" ? [] : [[indent, key, value]];
}
