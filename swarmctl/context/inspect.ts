import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addInspectFlags, type InspectOptions } from "../output/inspect.ts";
import { printObjects } from "../print-objects.ts";

export function define(command: Command, context: Context): void {
  addInspectFlags(command).argument("[name...]", "contexts (default: the one in use)");
  command.action(async (names: string[], options: InspectOptions) => {
    const folder = context.contexts();
    const wanted = names.length === 0 ? [await context.contextName()] : names;
    const found: object[] = [];
    try {
      await forEachRef(context, wanted, async (name) => {
        // The key is for managers to see the proof of, and for nobody to read.
        const { key: _, ...shown } = await folder.load(name);
        found.push({ name, path: folder.pathOf(name), ...shown });
      });
    } finally {
      printObjects(context, options, found);
    }
  });
}
