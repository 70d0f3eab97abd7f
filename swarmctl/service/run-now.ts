import type { Command } from "commander";
import type { Context } from "../context.ts";
import { answered } from "./change-service.ts";
import { addConvergeFlags, type ConvergeOptions, converge, withJobTimeout } from "./converge.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service>", "a job: ID, prefix of an ID, or name");
  addConvergeFlags(command).action(async (ref: string, options: ConvergeOptions) => {
    const control = await context.control();
    const service = answered(await control.runService({ ref }));
    context.print(ref);
    if (options.detach) return;
    const run = service.jobStatus?.jobIteration?.index;
    const waits = withJobTimeout(command, service, options);
    await converge(context, control, service, { ...waits, ...(run !== undefined && { run }) });
  });
}
