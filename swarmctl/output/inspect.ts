/** `inspect` of every noun: the objects as one JSON array, or as a template makes them; each missing one named, exit 1. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { forEachRef } from "../for-each-ref.ts";
import { type Format, parseFormat } from "./format.ts";
import { shownOn } from "./table.ts";
import { messageField, messageValue } from "./message-value.ts";

export interface InspectOptions {
  readonly format?: Format;
}

export function addInspectFlags(command: Command): Command {
  return command.option(
    "-f, --format <format>",
    "json, one object a line, or a template: '{{.Spec.Name}}'",
    flag(parseInspectFormat),
  );
}

function parseInspectFormat(text: string): Format {
  const format = parseFormat(text);
  if (format === "json" || (typeof format === "object" && !format.isTable)) return format;
  throw new Fault("invalid-argument", "Write json or a template such as '{{.Spec.Name}}'");
}

export async function inspectEach<D extends DescMessage>(
  context: Context,
  { schema, format }: { readonly schema: D } & InspectOptions,
  refs: readonly string[],
  get: (ref: string) => Promise<MessageShape<D> | undefined>,
): Promise<void> {
  const found: MessageShape<D>[] = [];
  try {
    await forEachRef(context, refs, async (ref) => {
      const object = await get(ref);
      if (object !== undefined) found.push(object);
    });
  } finally {
    printObjects(context, { schema, ...(format !== undefined && { format }) }, found);
  }
}

function printObjects<D extends DescMessage>(
  context: Context,
  { schema, format }: { readonly schema: D } & InspectOptions,
  found: readonly MessageShape<D>[],
): void {
  const print = (text: string) => context.print(shownOn(context.io.stdout, text));
  if (typeof format === "object") {
    for (const object of found) {
      print(format.template.run(messageValue(schema, object), messageField));
    }
    return;
  }
  const objects = found.map((object) => toJson(schema, object));
  if (format !== "json") print(JSON.stringify(objects, undefined, 2));
  else for (const object of objects) print(JSON.stringify(object));
}
