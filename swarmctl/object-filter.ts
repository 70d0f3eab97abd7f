/** `--filter` of lists of secrets and configs, with Docker's keys; given several times, all must hold. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import { flags, type Pair, pair } from "./flags/parse-flag.ts";

export interface FilterFlag {
  readonly filter?: Pair[];
}

type Filterable = Pick<Secret | Config, "id" | "spec">;

const filters: Readonly<Record<string, (object: Filterable, value: string) => boolean>> = {
  id: ({ id }, value) => id.startsWith(value),
  name: ({ spec }, value) => spec?.annotations?.name.includes(value) ?? false,
  label: ({ spec }, value) => {
    const { key, value: wanted } = pair(value);
    const labels = spec?.annotations?.labels ?? {};
    return Object.hasOwn(labels, key) && (!value.includes("=") || labels[key] === wanted);
  },
};

export function addFilterFlag(command: Command): Command {
  return command.option(
    "-f, --filter <key=value>",
    "id, name or label=KEY[=VALUE] (repeat)",
    flags(parseFilter),
  );
}

function parseFilter(text: string): Pair {
  const parsed = pair(text);
  if (Object.hasOwn(filters, parsed.key) && parsed.value !== "") return parsed;
  throw new Fault("invalid-argument", `Write one of: ${Object.keys(filters).join("=, ")}=`);
}

export function passes(object: Filterable, { filter = [] }: FilterFlag): boolean {
  return filter.every(({ key, value }) => filters[key]?.(object, value) ?? false);
}
