import type { Command } from "commander";
import { removeStack } from "#stacks/remove-stack.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

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
    await forEachRef(context, names, (name) =>
      removeStack(control, name, { onStep, clock, signal, wait: !detach }),
    );
  });
}
