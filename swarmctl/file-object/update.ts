import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair } from "../flags/parse-flag.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { changedMap } from "../service/changed-list.ts";
import { type FileNoun, labelsOf } from "./file-noun.ts";

interface Options {
  readonly labelAdd?: Pair[];
  readonly labelRm?: string[];
}

export function defineUpdate(noun: FileNoun, command: Command, context: Context): void {
  command
    .argument(`<${noun.name}>`, "ID, prefix of an ID, or name")
    .option("--label-add <key=value>", "add a label, or change it (repeat)", flags(pair))
    .option("--label-rm <key>", "remove a label (repeat)", flags(String))
    .action(async (ref: string, { labelAdd, labelRm }: Options) => {
      if (labelAdd === undefined && labelRm === undefined) {
        const problem = `Nothing to change: give --label-add or --label-rm; for other data there is "${noun.name} rotate"`;
        throw new Fault("invalid-argument", problem);
      }
      const control = await context.control();
      await retryConflicts(async () => {
        const object = await noun.get(control, ref);
        if (object === undefined) {
          throw new Fault("internal", `The manager returned no ${noun.name}`);
        }
        await noun.update(control, object, changedMap(labelsOf(object), labelAdd, labelRm));
      });
      context.print(ref);
    });
}
