/** `--filter` of lists of secrets and configs, with Docker's keys. */
import type { Command } from "commander";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  addFilterFlag as addFlag,
  filtered,
  type FilterFlag,
  type Filters,
  hasLabel,
} from "./output/filter.ts";

export type { FilterFlag } from "./output/filter.ts";

type Filterable = Pick<Secret | Config, "id" | "spec">;

const filters: Filters<Filterable> = {
  id: ({ id }, value) => id.startsWith(value),
  name: ({ spec }, value) => spec?.annotations?.name.includes(value) ?? false,
  label: ({ spec }, value) => hasLabel(spec?.annotations?.labels, value),
};

export function addFilterFlag(command: Command): Command {
  return addFlag(command, Object.keys(filters));
}

export function passes(object: Filterable, options: FilterFlag): boolean {
  return filtered([object], options, filters).length > 0;
}
