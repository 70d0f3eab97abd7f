import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

interface Options {
  readonly force?: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<node...>", "IDs, prefixes of IDs, or hostnames")
    .option("-f, --force", "also a node that is up, or a manager that cannot be reached")
    .action(async (refs: string[], { force = false }: Options) => {
      const control = await context.control();
      await forEachRef(context, refs, async (ref) => {
        await control.removeNode({ ref, force });
        context.print(ref);
      });
    });
}
