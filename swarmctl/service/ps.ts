import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { addTaskListingFlags, printTasks, type TaskListingOptions } from "../task/print-tasks.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service...>", "IDs, prefixes of IDs, or names");
  addTaskListingFlags(command).action(async (refs: string[], options: TaskListingOptions) => {
    const control = await context.control(options);
    const tasks: Task[] = [];
    let found = 0;
    try {
      await forEachRef(context, refs, async (serviceRef) => {
        tasks.push(...(await control.listTasks({ serviceRef })).tasks);
        found += 1;
      });
    } finally {
      if (found > 0) await printTasks(context, control, tasks, options);
    }
  });
}
