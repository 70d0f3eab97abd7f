import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Config, ConfigSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { formatAgo } from "../output/age.ts";
import { addFilterFlag, type FilterFlag, passes } from "../object-filter.ts";
import { addListingFlags, type ListingOptions, printListing } from "../output/listing.ts";
import { compareText } from "../output/table.ts";

interface Options extends ListingOptions, FilterFlag {}

export function define(command: Command, context: Context): void {
  addFilterFlag(addListingFlags(command)).action(async (options: Options) => {
    const control = await context.control(options);
    const { configs } = await control.listConfigs({});
    const nowMs = context.io.clock.now();
    printListing(context, options, {
      items: configs
        .filter((config) => passes(config, options))
        .toSorted((a, b) => compareText(nameOf(a), nameOf(b))),
      id: (config) => config.id,
      json: (config) => toJson(ConfigSchema, config),
      columns: [
        { title: "ID", of: (config) => config.id },
        { title: "NAME", of: nameOf },
        { title: "CREATED", of: ({ meta }) => formatAgo(msFromTimestamp(meta?.createdAt), nowMs) },
        { title: "UPDATED", of: ({ meta }) => formatAgo(msFromTimestamp(meta?.updatedAt), nowMs) },
      ],
    });
  });
}

function nameOf(config: Config): string {
  return config.spec?.annotations?.name ?? config.id;
}
