/** The states of tasks as people read them. */
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";

const nameOfState = new Map<TaskState, string>(
  Object.entries(TaskState).map(([name, state]) => [state, name]),
);

/** "running", …: in the order in which tasks go through them. */
export const taskStateWords: readonly string[] = [...nameOfState]
  .toSorted(([a], [b]) => a - b)
  .map(([, name]) => name.toLowerCase());

/** "Running" */
export function taskStateWord(state: TaskState): string {
  const name = nameOfState.get(state) ?? "UNKNOWN";
  return name.slice(0, 1) + name.slice(1).toLowerCase();
}
