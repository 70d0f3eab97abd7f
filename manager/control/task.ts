import type { ListTasksRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { publicTask } from "../registry-login.ts";
import type { View } from "../store/store.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve } from "../store/resolve.ts";
import { isAlive, isWanted } from "../task.ts";

export function taskHandlers({
  store,
}: Pick<ControlModules, "store">): Pick<ControlHandlers, "getTask" | "listTasks"> {
  return {
    getTask: async ({ ref }) => ({ task: publicTask(resolve(store, "task", ref)) }),
    listTasks: async (request) => ({ tasks: listTasks(store, request).map(publicTask) }),
  };
}

function listTasks(view: View, request: ListTasksRequest): readonly Task[] {
  const { serviceRef, serviceIds, nodeRef, runningOnly } = request;
  const named = serviceRef === "" ? [] : [resolve(view, "service", serviceRef).id];
  const services = new Set([...serviceIds, ...named]);
  const nodeId = nodeRef === "" ? undefined : resolve(view, "node", nodeRef).id;
  return candidates(view, services, nodeId).filter(
    (task) =>
      (services.size === 0 || services.has(task.serviceId)) &&
      (nodeId === undefined || task.nodeId === nodeId) &&
      (!runningOnly || (isWanted(task) && isAlive(task))),
  );
}

/** The shortest list that an index gives. */
function candidates(
  view: View,
  services: ReadonlySet<string>,
  nodeId: string | undefined,
): readonly Task[] {
  if (services.size > 0) return [...services].flatMap((id) => view.tasksOfService(id));
  if (nodeId !== undefined) return view.tasksOfNode(nodeId);
  return view.list("task");
}
