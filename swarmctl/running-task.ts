/** The task that a user means by TASK where its container is looked into. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "./context.ts";
import { taskName } from "./service/words.ts";
import { taskStateWord } from "./task/state-words.ts";

/** Between two attempts to watch a task. */
const rewatchMs = 1_000;

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

/** Rejects when the task has ended, or is removed. Its container may be started anew meanwhile. */
export async function taskEnd(context: Context, task: Task): Promise<never> {
  const { clock, signal } = context.io;
  for (;;) {
    try {
      const control = await context.control();
      const request = { kinds: ["task"], taskIds: [task.id] };
      for await (const { events } of control.watch(request, { signal })) {
        const ended = events.some(({ action }) => {
          const object = action?.object?.object;
          if (object?.case !== "task" || object.value.id !== task.id) return false;
          const state = object.value.status?.state ?? TaskState.NEW;
          return action?.kind === StoreActionKind.REMOVE || state >= TaskState.COMPLETE;
        });
        if (ended) throw new Fault("failed-precondition", `Task ${taskName(task)} has ended`);
      }
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (signal.aborted || !fault.retryable) throw fault;
    }
    // The manager went away. The next watch tells everything anew.
    await clock.sleep(rewatchMs, signal);
  }
}
