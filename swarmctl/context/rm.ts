import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

interface Options {
  readonly force?: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name...>", "contexts")
    .option("-f, --force", "also the one in use")
    .action(async (names: string[], { force = false }: Options) => {
      const folder = context.contexts();
      await forEachRef(context, names, async (name) => {
        const inUse = (await folder.current()) === name;
        if (inUse && !force) {
          const message = `The context "${name}" is in use: use another one first, or remove it with --force`;
          throw new Fault("failed-precondition", message);
        }
        await folder.remove(name);
        if (inUse) await folder.use(undefined);
        context.print(name);
      });
    });
}
