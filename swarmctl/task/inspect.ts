import type { Command } from "commander";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { inspectEach } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<task...>", "IDs, prefixes of IDs, or names such as web.1");
  command.action(async (refs: string[]) => {
    const control = await context.control();
    await inspectEach(
      context,
      TaskSchema,
      refs,
      async (ref) => (await control.getTask({ ref })).task,
    );
  });
}
