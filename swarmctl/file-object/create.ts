import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { readBytes } from "../read-file.ts";
import type { FileNoun } from "./file-noun.ts";

interface Options {
  readonly label?: Pair[];
  readonly templateDriver?: string;
  readonly driver?: string;
}

export function defineCreate(noun: FileNoun, command: Command, context: Context): void {
  command
    .argument(`<${noun.name}>`, `what the ${noun.name} is called`)
    .argument("[file]", 'what it holds; "-" is stdin')
    .option("-l, --label <key=value>", `label of the ${noun.name} (repeat)`, flags(pair))
    .option("--template-driver <driver>", "fill in placeholders for each task: golang");
  if (noun.name === "secret") {
    command.option("-d, --driver <driver>", "Docker's, for plugins, which managers refuse");
  }
  command.action(async (name: string, file: string | undefined, options: Options) => {
    const { templateDriver, driver, label } = options;
    if (file === undefined && driver === undefined) {
      const problem = `What shall the ${noun.name} hold? Name a file, or "-" for stdin`;
      throw new Fault("invalid-argument", problem);
    }
    const data = file === undefined ? undefined : await readBytes(context.io, file);
    const object = await noun.create(await context.control(), {
      annotations: { name, labels: recordOf(label) },
      ...(data !== undefined && { data }),
      ...(templateDriver !== undefined && { templating: { name: templateDriver } }),
      ...(driver !== undefined && { driver: { name: driver } }),
    });
    if (object === undefined) throw new Fault("internal", `The manager returned no ${noun.name}`);
    context.print(object.id);
  });
}
