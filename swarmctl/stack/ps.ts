import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addTaskListingFlags, printTasks, type TaskListingOptions } from "../task/print-tasks.ts";
import { servicesOfStack } from "./services-of-stack.ts";

export function define(command: Command, context: Context): void {
  command.argument("<stack>", "what the stack is called");
  addTaskListingFlags(command).action(async (stack: string, options: TaskListingOptions) => {
    const control = await context.control(options);
    const { services } = await servicesOfStack(control, stack);
    const replies = await Promise.all(
      services.map((service) => control.listTasks({ serviceRef: service.id })),
    );
    const tasks = replies.flatMap((reply) => reply.tasks);
    await printTasks(context, control, tasks, options);
  });
}
