import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { readText } from "../read-file.ts";
import { checkContextName } from "./context-folder.ts";
import { checkContext, parseContext } from "./saved-context.ts";

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "what the context is called from now on")
    .argument("<file>", 'what "swarmctl context export" wrote; "-" is stdin')
    .action(async (name: string, file: string) => {
      checkContextName(name);
      const saved = readContext(file, await readText(context.io, file), context.io.clock.now());
      await context.contexts().add(name, saved);
      context.print(name);
      context.io.stderr.write(`Successfully imported context "${name}"\n`);
    });
}

function readContext(file: string, text: string, nowMs: number) {
  try {
    const saved = parseContext(text);
    checkContext(saved, nowMs);
    return saved;
  } catch (thrown) {
    throw Fault.wrap(`Cannot import "${file}"`, thrown);
  }
}
