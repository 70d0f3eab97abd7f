import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addTaskListingFlags, printTasks, type TaskListingOptions } from "./print-tasks.ts";

interface Options extends TaskListingOptions {
  readonly node?: string;
  readonly all?: true;
}

export function define(command: Command, context: Context): void {
  command
    .option("--node <node>", "only the tasks of this node")
    .option("-a, --all", "also tasks that shall not run any more");
  addTaskListingFlags(command).action(async (options: Options) => {
    const control = await context.control(options);
    const nodeRef = options.node ?? "";
    const { tasks } = await control.listTasks({ nodeRef, runningOnly: !options.all });
    await printTasks(context, control, tasks, options);
  });
}
