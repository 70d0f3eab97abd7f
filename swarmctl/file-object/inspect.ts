import type { Command } from "commander";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";
import { visible, visibleLines } from "../output/table.ts";
import { type FileNoun, type FileObject, labelsOf, nameOf } from "./file-noun.ts";

interface Options extends InspectOptions {
  readonly pretty?: true;
}

export function defineInspect(noun: FileNoun, command: Command, context: Context): void {
  command
    .argument(`<${noun.name}...>`, "IDs, prefixes of IDs, or names")
    .option("--pretty", "for people, the main things only");
  addInspectFlags(command).action(async (refs: string[], options: Options) => {
    const control = await context.control();
    const get = (ref: string) => noun.get(control, ref);
    if (!options.pretty) {
      await inspectEach(context, { schema: noun.schema, ...options }, refs, get);
      return;
    }
    let isFirst = true;
    await forEachRef(context, refs, async (ref) => {
      const object = await get(ref);
      if (object === undefined) return;
      context.print(`${isFirst ? "" : "\n"}${pretty(noun, object)}`);
      isFirst = false;
    });
  });
}

/** In the order of Docker's; a secret comes without its data. */
function pretty({ name }: FileNoun, object: FileObject): string {
  const { id, meta, spec, rotatedFrom } = object;
  const labels = Object.entries(labelsOf(object)).map(([key, value]) => ` - ${key}=${value}`);
  const moment = (at: Parameters<typeof msFromTimestamp>[0]) =>
    new Date(msFromTimestamp(at)).toISOString();
  const rows: readonly (readonly [string, string])[] = [
    ["ID:", id],
    ["Name:", nameOf(object)],
    ...(rotatedFrom === "" ? [] : [["Rotated:", `"${rotatedFrom}" is another now`] as const]),
  ];
  const times = [
    ["Created at:", moment(meta?.createdAt)],
    ["Updated at:", moment(meta?.updatedAt)],
    ...(spec?.templating === undefined ? [] : [["Templating:", spec.templating.name] as const]),
  ] as const;
  const lines = (pairs: readonly (readonly [string, string])[]) =>
    pairs.map(([key, value]) => `${key.padEnd(16)}${value}`);
  return [
    ...[...lines(rows), "Labels:", ...labels, ...lines(times)].map(visible),
    ...(name === "config" ? ["Data:", textOf(spec?.data)] : []),
  ].join("\n");
}

function textOf(data: Uint8Array = new Uint8Array()): string {
  return visibleLines(Buffer.from(data).toString("utf8"));
}
