import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defaultContextName } from "./context-folder.ts";

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", `a context; "${defaultContextName}" is this host's own manager`)
    .action(async (name: string) => {
      const folder = context.contexts();
      if (name === defaultContextName) await folder.use(undefined);
      else {
        await folder.load(name);
        await folder.use(name);
      }
      context.print(name);
      context.io.stderr.write(`Current context is now "${name}"\n`);
    });
}
