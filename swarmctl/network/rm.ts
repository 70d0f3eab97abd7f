import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

interface Options {
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<network...>", "IDs, prefixes of IDs, or names")
    .option("-f, --force", "no error where there is none")
    .action(async (refs: string[], { force }: Options) => {
      const control = await context.control();
      await forEachRef(context, refs, async (ref) => {
        try {
          await control.removeNetwork({ ref });
        } catch (thrown) {
          if (!force || Fault.from(thrown).code !== "not-found") throw thrown;
          return;
        }
        context.print(ref);
      });
    });
}
