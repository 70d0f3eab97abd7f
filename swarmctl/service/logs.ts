import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context, ControlClient } from "../context.ts";
import { addLogFlags, type LogFlags, printLogs } from "./print-logs.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service|task>", "ID, prefix of an ID, or name");
  addLogFlags(command, context).action(async (ref: string, flags: LogFlags) => {
    const control = await context.control();
    await printLogs(context, control, await target(control, ref), flags);
  });
}

/** Names of services win over those of tasks, as nobody names a service "web.1". */
async function target(control: ControlClient, ref: string) {
  try {
    const { service } = await control.getService({ ref });
    return { serviceRef: service?.id ?? ref };
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
  }
  try {
    const { task } = await control.getTask({ ref });
    return { taskRef: task?.id ?? ref };
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
    throw new Fault("not-found", `No service or task "${ref}": see "swarmctl service ls"`);
  }
}
