import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

export function define(command: Command, context: Context): void {
  command.argument("<secret...>", "IDs, prefixes of IDs, or names");
  command.action(async (refs: string[]) => {
    const control = await context.control();
    await forEachRef(context, refs, async (ref) => {
      await control.removeSecret({ ref });
      context.print(ref);
    });
  });
}
