/** What managers want of a task, as its node sees it. Pure. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Desired } from "./state.ts";

export function desiredOf(task: Task): Desired {
  // One that ended for good is here for its log: an agent that lost its files must not run it again.
  if ((task.status?.state ?? TaskState.NEW) > TaskState.RUNNING) return "stopped";
  if (task.desiredState <= TaskState.READY) return "ready";
  return task.desiredState <= TaskState.COMPLETE ? "running" : "stopped";
}
