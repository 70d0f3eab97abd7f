/** The task that a user means by TASK where its container is looked into. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "./context.ts";
import { taskName } from "./service/words.ts";
import { taskStateWord } from "./task/print-tasks.ts";

/** By ID, a prefix of it that only one task has, or name such as web.1. One that does not run is a Fault that says why. */
export async function runningTask(context: Context, ref: string): Promise<Task> {
  const { task } = await (await context.control()).getTask({ ref }).catch((thrown: unknown) => {
    const fault = Fault.from(thrown);
    if (fault.code !== "not-found") throw fault;
    const hint = `Name a task by its ID or as web.1: see "swarmctl service ps"`;
    throw new Fault("not-found", `There is no task "${ref}". ${hint}`, { cause: fault });
  });
  if (task === undefined) throw new Fault("not-found", `There is no task "${ref}"`);
  const state = task.status?.state ?? TaskState.NEW;
  if (state === TaskState.RUNNING || state === TaskState.STARTING) return task;
  const name = taskName(task);
  const why = task.status?.err || task.status?.message;
  const words = taskStateWord(state).toLowerCase();
  throw new Fault(
    "failed-precondition",
    `Task ${name} (${task.id}) does not run: it is ${words}${why ? `, ${why}` : ""}`,
  );
}
