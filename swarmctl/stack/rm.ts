import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { removeStack } from "#stacks/remove-stack.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { printWarnings } from "../warnings.ts";

interface Options {
  readonly detach: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<stack...>", "what the stacks are called")
    .option("-d, --detach", "do not wait until the last task has stopped (default)")
    .option("--no-detach", "wait until the last task has stopped");
  command.action(async (names: string[], { detach = true }: Partial<Options>) => {
    const control = await context.control();
    const { clock, signal } = context.io;
    const onStep = (line: string) => context.print(line);
    const settings = { onStep, clock, signal, wait: !detach };
    await forEachRef(context, names, async (name) => {
      try {
        await removeStack(control, name, settings);
      } catch (thrown) {
        const fault = Fault.from(thrown);
        // What was asked for is so: scripts that clean up go on, as with Docker.
        if (fault.code !== "not-found") throw fault;
        printWarnings(context, [fault.message]);
      }
    });
  });
}
