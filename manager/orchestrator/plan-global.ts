/**
 * What a global service needs: one task on each node that it is for. Which nodes these are is said in eligible-nodes.ts,
 * what each needs in plan-places.ts. Pure.
 *
 * A task that its node shall not have any more is told to stop and stays as history; when the node is gone itself, it goes,
 * too. A paused node keeps what it has: it gets no new task, nor takes part in updates.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Action } from "../store/objects.ts";
import { isTerminal, isWanted } from "../task.ts";
import { eligibilityFor, whyLeft } from "./eligible-nodes.ts";
import { planRemove, planStop } from "./new-task.ts";
import { type PlaceContext, planPlace, planPlaces, type ServicePlan } from "./plan-places.ts";

export interface GlobalContext extends PlaceContext {
  readonly nodes: readonly Node[];
  /** The service's tasks on a node, without those to be removed. */
  readonly tasksOn: (nodeId: string) => readonly Task[];
}

export type NodePlan = Pick<ServicePlan, "actions" | "wakeAtMs">;

/** The whole service, updates included. `tasks`: all that it has, without those to be removed. */
export function planGlobal(tasks: readonly Task[], context: GlobalContext): ServicePlan {
  const byNode = Map.groupBy(tasks, ({ nodeId }) => nodeId);
  const eligibility = eligibilityFor(context.service);
  const places = new Map<string, readonly Task[]>();
  const leaving: Action[] = [];
  for (const node of context.nodes.toSorted(byId)) {
    const own = byNode.get(node.id) ?? [];
    byNode.delete(node.id);
    const eligible = eligibility(node);
    if (eligible === "takes") places.set(node.id, own);
    if (eligible === "none") leaving.push(...planLeave(own, node, context.nowMs));
  }
  const gone = [...byNode.values()].flat().map((task) => planRemove(task, context.nowMs));
  const plan = planPlaces(places, context);
  return { ...plan, actions: [...gone, ...leaving, ...plan.actions] };
}

/** One node alone, of a service that does not update. */
export function planGlobalNode(nodeId: string, context: GlobalContext): NodePlan {
  const { nowMs } = context;
  const tasks = context.tasksOn(nodeId);
  const node = context.node(nodeId);
  if (node === undefined) {
    return { ...nothing, actions: tasks.map((task) => planRemove(task, nowMs)) };
  }
  const eligible = eligibilityFor(context.service)(node);
  if (eligible === "takes") return planPlace(nodeId, tasks, context);
  return eligible === "none" ? { ...nothing, actions: planLeave(tasks, node, nowMs) } : nothing;
}

const nothing: NodePlan = { actions: [], wakeAtMs: undefined };

/** One that ended for good is left as it is: it says how it ended, and is not told anything any more. */
function planLeave(tasks: readonly Task[], node: Node, nowMs: number): readonly Action[] {
  const desiredMessage = whyLeft(node);
  return tasks
    .filter((task) => isWanted(task) && !isTerminal(task))
    .map((task) => planStop({ ...task, desiredMessage }, nowMs));
}

function byId(a: Node, b: Node): number {
  return a.id < b.id ? -1 : 1;
}
