import type { Command } from "commander";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<task...>", "IDs, prefixes of IDs, or names such as web.1");
  addInspectFlags(command).action(async (refs: string[], options: InspectOptions) => {
    const control = await context.control();
    await inspectEach(
      context,
      { schema: TaskSchema, ...options },
      refs,
      async (ref) => (await control.getTask({ ref })).task,
    );
  });
}
