import type { Command } from "commander";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { formatAgo } from "../output/age.ts";
import {
  addFilterFlag,
  filtered,
  type FilterFlag,
  type Filters,
  hasLabel,
} from "../output/filter.ts";
import {
  addListingFlags,
  type Column,
  labelFields,
  type ListingOptions,
  printListing,
} from "../output/listing.ts";
import { compareText } from "../output/table.ts";
import { type FileNoun, type FileObject, labelsOf, nameOf } from "./file-noun.ts";

interface Options extends ListingOptions, FilterFlag {}

const filters: Filters<FileObject> = {
  id: ({ id }, value) => id.startsWith(value),
  name: (object, value) => nameOf(object).includes(value),
  label: (object, value) => hasLabel(labelsOf(object), value),
};

export function defineLs(noun: FileNoun, command: Command, context: Context): void {
  const keys = Object.keys(filters);
  addFilterFlag(addListingFlags(command), keys).action(async (options: Options) => {
    const objects = await noun.list(await context.control(options));
    printListing(context, options, {
      items: filtered(objects, options, filters).toSorted((a, b) =>
        compareText(nameOf(a), nameOf(b)),
      ),
      id: ({ id }) => id,
      columns: columns(noun, context.io.clock.now()),
      fields: labelFields(labelsOf),
    });
  });
}

/** Docker's. */
function columns({ name }: FileNoun, nowMs: number): Column<FileObject>[] {
  const driver: Column<FileObject> = {
    title: "DRIVER",
    of: ({ spec }) => (spec !== undefined && "driver" in spec ? (spec.driver?.name ?? "") : ""),
  };
  return [
    { title: "ID", of: ({ id }) => id },
    { title: "NAME", of: nameOf },
    ...(name === "secret" ? [driver] : []),
    {
      title: "CREATED",
      field: "CreatedAt",
      of: ({ meta }) => formatAgo(msFromTimestamp(meta?.createdAt), nowMs),
    },
    {
      title: "UPDATED",
      field: "UpdatedAt",
      of: ({ meta }) => formatAgo(msFromTimestamp(meta?.updatedAt), nowMs),
    },
  ];
}
