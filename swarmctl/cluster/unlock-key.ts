import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { changeCluster } from "./change-cluster.ts";
import { unlockInstructions } from "./unlock-instructions.ts";

interface Options {
  readonly quiet?: true;
  readonly rotate?: true;
}

export function define(command: Command, context: Context): void {
  command
    .option("-q, --quiet", "print only the key")
    .option("--rotate", "make a new key; managers that restart ask for the new one")
    .action(async ({ quiet, rotate }: Options) => {
      const control = await context.control();
      if (rotate) {
        await changeCluster(control, (spec) => spec, { rotateUnlockKey: true });
        if (!quiet) context.print("Successfully rotated manager unlock key.\n");
      }
      const { unlockKey } = await control.getUnlockKey({});
      if (unlockKey === "") {
        const message =
          'No unlock key is set: managers do not lock themselves; see "swarmctl cluster update --autolock"';
        throw new Fault("not-found", message);
      }
      context.print(quiet ? unlockKey : unlockInstructions(unlockKey));
    });
}
