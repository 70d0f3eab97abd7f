/** A store with nodes and tasks, and the scheduler's plan on it, made and written once or until nothing changes. */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { SchedulingStrategy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Store } from "../../store/store.ts";
import { isWanted, stateOf } from "../../task.ts";
import { openTestStore, testTask } from "../../testing/fixtures.ts";
import { NodeLoads } from "../node-load.ts";
import { planSchedule, type SchedulePlan } from "../plan-schedule.ts";

export const nowMs = 1_700_000_000_000;

type TaskInit = Parameters<typeof testTask>[1];

export function pending(id: string, init: TaskInit = {}): Task {
  return testTask(id, { status: { state: TaskState.PENDING }, ...init });
}

export function on(nodeId: string, id: string, init: TaskInit = {}): Task {
  return testTask(id, { nodeId, status: { state: TaskState.RUNNING }, ...init });
}

export interface Settings {
  readonly strategy?: SchedulingStrategy;
  readonly preemption?: boolean;
  readonly effortMax?: number;
}

export interface Cluster extends Settings {
  readonly nodes: readonly Node[];
  readonly running?: readonly Task[];
}

export interface Outcome extends SchedulePlan {
  /** The nodes of the tasks that were given one. */
  readonly homes: ReadonlyMap<string, string>;
}

export interface ScheduleGround {
  readonly store: Store;
  readonly put: ReturnType<typeof openTestStore>["put"];
  /** Plans for these tasks, writes nothing. */
  plan(tasks: readonly Task[]): Outcome;
  /** Plans for all that wait, and writes it. */
  round(): Promise<Outcome>;
}

export async function openGround({ nodes, running = [], ...settings }: Cluster) {
  const { store, put } = openTestStore();
  await put("node", ...nodes);
  await put("task", ...running);
  const loads = new NodeLoads(store);
  store.watch(({ changes }) => {
    for (const change of changes) loads.onChange(change);
  });
  const plan = (tasks: readonly Task[]) => outcomeOf(planWith(tasks, store, loads, settings));
  const ground: ScheduleGround = {
    store,
    put,
    plan,
    async round() {
      const waiting = store
        .list("task")
        .filter((task) => stateOf(task) === TaskState.PENDING && isWanted(task));
      const outcome = plan(waiting);
      await store.write(() => outcome.actions);
      return outcome;
    },
  };
  return ground;
}

/** Plans for these tasks alone. */
export async function schedule(tasks: readonly Task[], cluster: Cluster): Promise<Outcome> {
  return (await openGround(cluster)).plan(tasks);
}

export function count(homes: ReadonlyMap<string, string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const nodeId of homes.values()) counts[nodeId] = (counts[nodeId] ?? 0) + 1;
  return counts;
}

function planWith(
  tasks: readonly Task[],
  view: Store,
  loads: NodeLoads,
  settings: Settings,
): SchedulePlan {
  return planSchedule(tasks, {
    strategy: SchedulingStrategy.SPREAD,
    preemption: false,
    ...settings,
    view,
    loads,
    nowMs,
  });
}

function outcomeOf(plan: SchedulePlan): Outcome {
  const homes = new Map<string, string>();
  for (const { kind, object } of plan.actions) {
    const assigned = kind === "task" && stateOf(object) === TaskState.ASSIGNED;
    if (assigned) homes.set(object.id, object.nodeId);
  }
  return { ...plan, homes };
}
