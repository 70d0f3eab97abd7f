import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { readBytes } from "../read-file.ts";

interface Options {
  readonly label?: Pair[];
  readonly templateDriver?: string;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "what the secret is called")
    .argument("<file>", 'what it holds; "-" is stdin')
    .option("-l, --label <key=value>", "label of the secret (repeat)", flags(pair))
    .option("--template-driver <driver>", "fill in placeholders for each task: golang")
    .action(async (name: string, file: string, options: Options) => {
      const data = await readBytes(context.io, file);
      const control = await context.control();
      const { templateDriver, label } = options;
      const { secret } = await control.createSecret({
        spec: {
          annotations: { name, labels: recordOf(label) },
          data,
          ...(templateDriver !== undefined && { templating: { name: templateDriver } }),
        },
      });
      if (secret === undefined) throw new Fault("internal", "The manager returned no secret");
      context.print(secret.id);
    });
}
