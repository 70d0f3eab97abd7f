import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { formatContext } from "./saved-context.ts";

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "a context")
    .argument("[file]", 'where to write it; "-" is stdout (default: NAME.swarmcontext)')
    .action(async (name: string, file = `${name}.swarmcontext`) => {
      const text = formatContext(await context.contexts().load(name));
      if (file === "-") writeToPipe(context, text);
      else {
        await writeNew(file, text);
        context.io.stderr.write(`Written file "${file}". It holds the context's key.\n`);
      }
    });
}

function writeToPipe({ io }: Context, text: string): void {
  if (io.stdout.isTTY) {
    const message = "A context holds a key, which is not for a terminal: name a file";
    throw new Fault("failed-precondition", message);
  }
  io.stdout.write(text);
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600, flag: "wx", flush: true });
  } catch (thrown) {
    throw Fault.wrap(`Cannot write "${file}"`, thrown);
  }
}
