import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addConvergeFlags, type ConvergeOptions, converge, withJobTimeout } from "./converge.ts";
import { rollBackService } from "./change-service.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service>", "ID, prefix of an ID, or name");
  addConvergeFlags(command).action(async (ref: string, options: ConvergeOptions) => {
    const control = await context.control();
    const service = await rollBackService(control, ref);
    context.print(ref);
    if (!options.detach)
      await converge(context, control, service, withJobTimeout(command, service, options));
  });
}
