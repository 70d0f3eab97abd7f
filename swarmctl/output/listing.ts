/** What all listings share: --format, -q, --stale, and how rows become output. */
import { type Command, Option } from "commander";
import type { Context } from "../context.ts";
import { formatTable } from "./table.ts";

/** How much of an ID people see: enough to be unique in any cluster that fits a screen. */
const shortIdLength = 12;

export interface ListingOptions {
  readonly format: "table" | "json";
  readonly quiet?: true;
  readonly stale?: true;
}

export interface Column<T> {
  readonly title: string;
  readonly of: (item: T) => string;
}

export interface Listing<T> {
  readonly items: readonly T[];
  readonly id: (item: T) => string;
  readonly columns: readonly Column<T>[];
  readonly json: (item: T) => unknown;
}

export function addListingFlags(command: Command, quiet = "print only IDs, one per line"): Command {
  return command
    .addOption(formatOption())
    .option("-q, --quiet", quiet)
    .option("--stale", "take what the manager knows, also while no manager leads");
}

export function formatOption(): Option {
  return new Option("--format <format>", "how to print")
    .choices(["table", "json"])
    .default("table");
}

export function printListing<T>(
  context: Context,
  options: ListingOptions,
  listing: Listing<T>,
): void {
  const { items, columns } = listing;
  if (options.quiet) {
    for (const id of new Set(items.map(listing.id))) context.print(id);
  } else if (options.format === "json") {
    context.print(JSON.stringify(items.map(listing.json), undefined, 2));
  } else {
    const rows = items.map((item) => columns.map((column) => column.of(item)));
    context.io.stdout.write(
      formatTable(
        columns.map((column) => column.title),
        rows,
      ),
    );
  }
}

export function shortId(id: string): string {
  return id.slice(0, shortIdLength);
}
