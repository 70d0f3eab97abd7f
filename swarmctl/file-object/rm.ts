import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import type { FileNoun } from "./file-noun.ts";

export function defineRm(noun: FileNoun, command: Command, context: Context): void {
  command.argument(`<${noun.name}...>`, "IDs, prefixes of IDs, or names");
  command.action(async (refs: string[]) => {
    const control = await context.control();
    await forEachRef(context, refs, async (ref) => {
      await noun.remove(control, ref);
      context.print(ref);
    });
  });
}
