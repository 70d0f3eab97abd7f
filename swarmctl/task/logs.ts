import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addLogFlags, type LogFlags, printLogs } from "../service/print-logs.ts";

export function define(command: Command, context: Context): void {
  command.argument("<task>", "ID, prefix of an ID, or name such as web.1");
  addLogFlags(command, context).action(async (ref: string, flags: LogFlags) => {
    const control = await context.control();
    const { task } = await control.getTask({ ref });
    await printLogs(context, control, { taskRef: task?.id ?? ref }, flags);
  });
}
