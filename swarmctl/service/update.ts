import type { Command } from "commander";
import type { Context } from "../context.ts";
import { printWarnings } from "../warnings.ts";
import {
  addChangeFlags,
  type ChangeFlags,
  checkRollbackAlone,
  specChange,
} from "./change-flags.ts";
import { changeService, rollBackService } from "./change-service.ts";
import { addConvergeFlags, type ConvergeOptions, converge, withJobTimeout } from "./converge.ts";

interface Options extends ConvergeOptions, ChangeFlags {}

export function define(command: Command, context: Context): void {
  addConvergeFlags(addChangeFlags(command)).action(async (ref: string, options: Options) => {
    if (options.rollback) checkRollbackAlone(command, ["detach", "quiet", "timeout"]);
    const control = await context.control();
    const service = options.rollback
      ? await rollBackService(control, ref)
      : await changeService(control, ref, await specChange(context, control, options), {
          // An image that stays keeps the digest that it has.
          queryRegistry: options.image !== undefined && options.resolveImage,
          scale: options.replicas !== undefined,
          onWarnings: (warnings) => printWarnings(context, warnings),
        });
    context.print(ref);
    if (!options.detach)
      await converge(context, control, service, withJobTimeout(command, service, options));
  });
}
