/** `--filter` of lists of tasks, with Docker's keys. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { checkFilterWords, filtered, type FilterFlag, type Filters } from "../output/filter.ts";
import { taskName } from "../service/words.ts";
import { taskStateWord, taskStateWords } from "./state-words.ts";

export const taskFilterKeys: readonly string[] = ["id", "name", "node", "desired-state"];

export function filterTasks(
  tasks: readonly Task[],
  options: FilterFlag,
  hostnames: ReadonlyMap<string, string>,
): Task[] {
  checkFilterWords(options, "desired-state", taskStateWords);
  const filters: Filters<Task> = {
    id: ({ id }, value) => id.startsWith(value),
    name: (task, value) => taskName(task).startsWith(value),
    node: ({ nodeId }, value) =>
      nodeId !== "" && (nodeId.startsWith(value) || hostnames.get(nodeId) === value),
    "desired-state": ({ desiredState }, value) =>
      taskStateWord(desiredState).toLowerCase() === value.toLowerCase(),
  };
  return filtered(tasks, options, filters);
}
