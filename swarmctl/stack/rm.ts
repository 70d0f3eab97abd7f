import type { Command } from "commander";
import { removeStack } from "#stacks/remove-stack.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

export function define(command: Command, context: Context): void {
  command.argument("<stack...>", "what the stacks are called");
  command.action(async (names: string[]) => {
    const control = await context.control();
    const { clock, signal } = context.io;
    const onStep = (line: string) => context.print(line);
    await forEachRef(context, names, (name) =>
      removeStack(control, name, { onStep, clock, signal, wait: false }),
    );
  });
}
