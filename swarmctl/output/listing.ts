/** What all listings share: --format, -q, --stale, and how rows become output. */
import { type Command, Option } from "commander";
import type { Context } from "../context.ts";
import { type Format, listFormatOption, type TemplateFormat } from "./format.ts";
import { compareText, formatTable, shownOn } from "./table.ts";

/** How much of an ID people see: enough to be unique in any cluster that fits a screen. */
const shortIdLength = 12;

export interface ListingOptions {
  readonly format: Format;
  readonly quiet?: true;
  readonly stale?: true;
}

export interface Column<T> {
  readonly title: string;
  readonly of: (item: T) => string;
  /** What templates call it, where that is not the title in Docker's spelling: "DESIRED STATE" is DesiredState. */
  readonly field?: string;
}

export interface Listing<T> {
  readonly items: readonly T[];
  readonly id: (item: T) => string;
  readonly columns: readonly Column<T>[];
  /** What templates and json know beside the columns. A function takes arguments: `{{.Label "role"}}`. */
  readonly fields?: Readonly<Record<string, (item: T) => unknown>>;
  /** What json prints of lists that Docker does not have; absent: the fields, as its lists do. */
  readonly json?: (item: T) => unknown;
}

export function addListingFlags(command: Command, quiet = "print only IDs, one per line"): Command {
  return command
    .addOption(listFormatOption())
    .option("-q, --quiet", quiet)
    .option("--stale", "take what the manager knows, also while no manager leads");
}

/** For commands that print no list. */
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
  const { items, columns, json = (item) => rowOf(item, listing) } = listing;
  const { stdout } = context.io;
  if (typeof options.format === "object") {
    stdout.write(shownOn(stdout, templated(options.format, listing)));
  } else if (options.format === "json") {
    for (const item of items) context.print(shownOn(stdout, JSON.stringify(json(item))));
  } else if (options.quiet) {
    for (const id of new Set(items.map(listing.id))) context.print(id);
  } else {
    const rows = items.map((item) => columns.map((column) => column.of(item)));
    stdout.write(
      formatTable(
        columns.map((column) => column.title),
        rows,
      ),
    );
  }
}

function templated<T>({ template, isTable }: TemplateFormat, listing: Listing<T>): string {
  const texts = listing.items.map((item) => template.run(rowOf(item, listing)));
  if (!isTable) return texts.map((text) => `${text}\n`).join("");
  const heading = template.heading(headingOf(listing));
  const rows = texts.flatMap((text) => text.split("\n")).map((line) => line.split("\t"));
  return formatTable(heading.split("\t"), rows);
}

function rowOf<T>(item: T, { columns, fields = {} }: Listing<T>): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const column of columns) row[fieldName(column)] = column.of(item);
  for (const [name, of] of Object.entries(fields)) row[name] = of(item);
  return row;
}

/** A table's heading is its template with the titles in place of what stands below them. */
function headingOf<T>({ columns, fields = {} }: Listing<T>): Record<string, unknown> {
  const heading: Record<string, unknown> = {};
  for (const column of columns) heading[fieldName(column)] = column.title;
  for (const name of Object.keys(fields)) {
    heading[name] = name === "Label" ? (key: unknown) => String(key) : titleOf(name);
  }
  return heading;
}

/** "DESIRED STATE" is DesiredState, and "ID" stays. */
function fieldName({ title, field }: Pick<Column<never>, "title" | "field">): string {
  if (field !== undefined) return field;
  if (title === "ID") return title;
  return title
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("");
}

/** "CreatedAt" is "CREATED AT". */
function titleOf(field: string): string {
  return field.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toUpperCase();
}

/** `{{.Labels}}` and `{{.Label "role"}}`, as Docker's lists have them. */
export function labelFields<T>(
  labelsOf: (item: T) => Readonly<Record<string, string>> | undefined,
): Record<"Labels" | "Label", (item: T) => unknown> {
  const entriesOf = (item: T) => Object.entries(labelsOf(item) ?? {});
  return {
    Labels: (item) =>
      entriesOf(item)
        .map((entry) => entry.join("="))
        .toSorted(compareText)
        .join(","),
    Label: (item) => (key: unknown) => new Map(entriesOf(item)).get(String(key)) ?? "",
  };
}

export function shortId(id: string): string {
  return id.slice(0, shortIdLength);
}
