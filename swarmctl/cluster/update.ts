import type { Command } from "commander";
import type { Context } from "../context.ts";
import { externalCaFlag } from "./external-ca-flag.ts";
import { changeCluster } from "./change-cluster.ts";
import { addSpecFlags, type SpecFlags, withSpecFlags } from "./spec-flags.ts";
import { unlockInstructions } from "./unlock-instructions.ts";

export function define(command: Command, context: Context): void {
  addSpecFlags(command.addOption(externalCaFlag())).action(async (options: SpecFlags) => {
    if (Object.values(options).every((value) => value === undefined)) {
      command.error("error: nothing to change: give at least one setting");
    }
    const { autolock } = options;
    const control = await context.control();
    const { before } = await changeCluster(control, (spec) => withSpecFlags(spec, options));
    context.print("Swarm updated.");
    if (autolock !== true || before.spec?.encryption?.autoLockManagers) return;
    const { unlockKey } = await control.getUnlockKey({});
    context.print(unlockInstructions(unlockKey));
  });
}
