import type { Command } from "commander";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addTaskListingFlags, printTasks, type TaskListingOptions } from "../task/print-tasks.ts";
import { resolveSelf, selfRef } from "./self.ts";

export function define(command: Command, context: Context): void {
  command.argument("[node...]", "IDs, prefixes of IDs, or hostnames (default: this host)");
  addTaskListingFlags(command).action(async (refs: string[], options: TaskListingOptions) => {
    const control = await context.control(options);
    const tasks: Task[] = [];
    let found = 0;
    try {
      await forEachRef(context, refs.length === 0 ? [selfRef] : refs, async (ref) => {
        const nodeRef = await resolveSelf(context, ref);
        tasks.push(...(await control.listTasks({ nodeRef })).tasks);
        found += 1;
      });
    } finally {
      if (found > 0) await printTasks(context, control, tasks, options);
    }
  });
}
