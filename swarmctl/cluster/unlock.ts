import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { readSecret } from "../read-secret.ts";

/** The manager opens its log meanwhile. */
const unlockDeadlineMs = 60_000;

export function define(command: Command, context: Context): void {
  command.action(async () => {
    const swarmd = await context.node();
    const unlockKey = await readUnlockKey(context);
    await swarmd.unlockCluster(
      { unlockKey },
      { deadlineMs: unlockDeadlineMs, signal: context.io.signal },
    );
  });
}

export async function readUnlockKey(context: Context): Promise<string> {
  const unlockKey = await readSecret(context.io, "Please enter unlock key: ");
  if (unlockKey !== "") return unlockKey;
  throw new Fault("invalid-argument", "No unlock key was given");
}
