import type { Command } from "commander";
import type { Context } from "../context.ts";
import { answered } from "./change-service.ts";
import { addConvergeFlags, type ConvergeOptions, converge } from "./converge.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service>", "ID, prefix of an ID, or name");
  addConvergeFlags(command).action(async (ref: string, options: ConvergeOptions) => {
    const control = await context.control();
    const service = answered(await control.rebalanceService({ ref }));
    context.print(ref);
    if (!options.detach) await converge(context, control, service, options);
  });
}
