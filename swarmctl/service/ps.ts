import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context, ControlClient } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { formatAgo } from "../output/age.ts";
import { visible } from "../output/table.ts";
import { addTaskListingFlags, printTasks, type TaskListingOptions } from "../task/print-tasks.ts";
import { serviceName } from "./words.ts";

export function define(command: Command, context: Context): void {
  command.argument("<service...>", "IDs, prefixes of IDs, or names");
  addTaskListingFlags(command).action(async (refs: string[], options: TaskListingOptions) => {
    const control = await context.control(options);
    const tasks: Task[] = [];
    const notes: string[] = [];
    let found = 0;
    try {
      await forEachRef(context, refs, async (serviceRef) => {
        tasks.push(...(await control.listTasks({ serviceRef })).tasks);
        found += 1;
        if (options.format === "table" && !options.quiet) {
          notes.push(...(await scalingNote(context, control, serviceRef)));
        }
      });
    } finally {
      if (found > 0) await printTasks(context, control, tasks, options);
      for (const note of notes) context.io.stderr.write(`${visible(note)}\n`);
    }
  });
}

/** When the managers last changed the number of a service that is scaled by its use. A list without it is better than none. */
async function scalingNote(
  { io }: Context,
  control: ControlClient,
  ref: string,
): Promise<readonly string[]> {
  const { service } = await control.getService({ ref }).catch((thrown: unknown) => {
    if (thrown instanceof Fault) return { service: undefined };
    throw thrown;
  });
  const { scaledAt, replicas = 0n, message = "" } = service?.autoscaleStatus ?? {};
  if (service === undefined || scaledAt === undefined) return [];
  const ago = formatAgo(msFromTimestamp(scaledAt), io.clock.now());
  const why = message === "" ? "" : `: ${message}`;
  return [`${serviceName(service)} was scaled to ${replicas} ${ago}${why}`];
}
