import { type Command, InvalidArgumentError } from "commander";
import { parseStack } from "#stacks/parse-stack.ts";
import { deployStack } from "#stacks/deploy-stack.ts";
import { parseStackName } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { readText } from "../read-file.ts";
import { addConvergeFlags, type ConvergeOptions, converge } from "../service/converge.ts";

interface Options extends Omit<ConvergeOptions, "detach"> {
  readonly composeFile: string;
  readonly detach: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<stack>", "what the stack is called", flag(parseStackName))
    .requiredOption("-c, --compose-file <file>", "the stack file; - is stdin", onlyOne)
    .option("--no-detach", "wait until all its services have converged");
  addConvergeFlags(command).action(async (name: string, options: Options) => {
    const file = options.composeFile;
    const text = await readText(context.io, file);
    const stack = parseStack({ name, file: file === "-" ? "stdin" : file, text });
    const control = await context.control();
    const services = await deployStack(control, stack, {
      signal: context.io.signal,
      onStep: (line) => context.print(line),
    });
    if (options.detach) return;
    const { detach: _, ...wait } = options;
    for (const service of services) await converge(context, control, service, wait);
  });
}

function onlyOne(file: string, before: string | undefined): string {
  if (before === undefined) return file;
  throw new InvalidArgumentError("Several files are not merged yet: name one");
}
