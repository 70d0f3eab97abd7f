/**
 * `--filter key=value` of lists, with Docker's meaning: of one key given several times any value will do, of different
 * keys all must hold. Labels are keys of their own: all of them must hold.
 */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { nearMiss } from "#proto/near-miss.ts";
import { flags, type Pair, pair } from "../flags/parse-flag.ts";

export interface FilterFlag {
  readonly filter?: Pair[];
}

/** By key: whether an item has the value. */
export type Filters<T> = Readonly<Record<string, (item: T, value: string) => boolean>>;

/** `keys`: those that the command knows, as its `Filters` has them. */
export function addFilterFlag(command: Command, keys: readonly string[]): Command {
  const words = keys.map((key) => (key === "label" ? "label=KEY[=VALUE]" : `${key}=`));
  return command.option(
    "-f, --filter <key=value>",
    `${words.join(", ")} (repeat)`,
    flags((text) => parseFilter(text, keys)),
  );
}

function parseFilter(text: string, keys: readonly string[]): Pair {
  const parsed = pair(text);
  // Docker takes these without regard to case and space around them.
  const filter = { key: parsed.key.trim().toLowerCase(), value: parsed.value.trim() };
  if (!keys.includes(filter.key)) {
    const near = nearMiss(filter.key, keys);
    const meant = near === undefined ? ": there" : `, did you mean ${near}? There`;
    throw new Fault(
      "invalid-argument",
      `There is no filter "${filter.key}"${meant} are ${keys.join(", ")}`,
    );
  }
  if (filter.value !== "") return filter;
  throw new Fault("invalid-argument", `Write ${filter.key}=VALUE`);
}

export function filtered<T>(
  items: readonly T[],
  { filter = [] }: FilterFlag,
  filters: Filters<T>,
): T[] {
  const groups = [...Map.groupBy(filter, ({ key }) => key)];
  return items.filter((item) =>
    groups.every(([key, pairs]) => {
      const holds = ({ value }: Pair) => filters[key]?.(item, value) ?? false;
      return key === "label" ? pairs.every(holds) : pairs.some(holds);
    }),
  );
}

/** Another value would find nothing, and look as if there was nothing. */
export function checkFilterWords(flag: FilterFlag, key: string, words: readonly string[]): void {
  const unknown = filterValues(flag, key).find((value) => !words.includes(value.toLowerCase()));
  if (unknown === undefined) return;
  const problem = `There is no ${key.replace("-", " ")} "${unknown}": there are ${words.join(", ")}`;
  throw new Fault("invalid-argument", problem);
}

/** The values that were given for one key. */
export function filterValues({ filter = [] }: FilterFlag, key: string): string[] {
  return filter.filter((one) => one.key === key).map(({ value }) => value);
}

/** `KEY` or `KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>> = {}, wanted: string): boolean {
  const { key, value } = pair(wanted);
  return Object.hasOwn(labels, key) && (!wanted.includes("=") || labels[key] === value);
}
