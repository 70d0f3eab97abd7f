/**
 * Whether a cluster is as its users want it, judged by what is written and what really runs, without the planners' own
 * code: why not, in words.
 */
import type { View } from "#manager/store/store.ts";
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  NodeState,
  TaskState,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { words } from "./checks.ts";
import type { Container } from "./containers.ts";

/** Undefined: it is. */
export function findDivergence(view: View, running: Iterable<Container>): string | undefined {
  for (const task of view.list("task")) {
    if (view.get("service", task.serviceId) === undefined) {
      return `a task of a removed service: ${words(task)}`;
    }
  }
  for (const service of view.list("service")) {
    const problem = divergenceOf(service, view);
    if (problem !== undefined) return `${service.spec?.annotations?.name}: ${problem}`;
  }
  return strayOf(view, running);
}

/** A container that nobody wants, or a task that runs without one. */
function strayOf(view: View, running: Iterable<Container>): string | undefined {
  const live = new Set<string>();
  for (const { task, nodeId } of running) {
    live.add(task.id);
    const seen = view.get("task", task.id);
    if (seen === undefined || seen.status?.state !== TaskState.RUNNING) {
      return `a container runs on ${nodeId} for ${words(seen ?? task)}`;
    }
  }
  const gone = view
    .list("task")
    .find(({ id, status }) => status?.state === TaskState.RUNNING && !live.has(id));
  return gone === undefined ? undefined : `no container runs for ${words(gone)}`;
}

function divergenceOf(service: Service, view: View): string | undefined {
  const state = service.updateStatus?.state;
  const goesOn: readonly UpdateState[] = [
    UpdateState.UPDATING,
    UpdateState.ROLLBACK_STARTED,
    UpdateState.CANARY,
  ];
  if (state !== undefined && goesOn.includes(state)) return `its update is not over`;
  const tasks = view.tasksOfService(service.id);
  const { mode } = service.spec ?? {};
  switch (mode?.case) {
    case "replicated":
      return replicasDiverge(service, Number(mode.value.replicas), { tasks, view });
    case "global":
      return globalDiverges(service, tasks, view);
    case "replicatedJob":
      return jobDiverges(service, Number(mode.value.totalCompletions), { tasks, view });
    default:
      return undefined;
  }
}

interface Around {
  readonly tasks: readonly Task[];
  readonly view: View;
}

function replicasDiverge(
  service: Service,
  wanted: number,
  { tasks, view }: Around,
): string | undefined {
  const slots = Map.groupBy(tasks.filter(isKept), ({ slot }) => slot);
  if (slots.size !== wanted) return `${slots.size} of ${wanted} replicas are wanted to run`;
  for (const kept of slots.values()) {
    const problem = placeDiverges(kept, service, view);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** The tasks of one slot, or of a global service on one node. */
function placeDiverges(kept: readonly Task[], service: Service, view: View): string | undefined {
  const [task, ...others] = kept.toSorted((a, b) => Number(isRunning(b)) - Number(isRunning(a)));
  if (task === undefined) return undefined;
  if (others.length === 0) return problemOf(task, service, view);
  // An update that starts first leaves the old one where the new one cannot run.
  const isHeldUp = others.every((other) => isPaused(service) || isBlocked(other, service, view));
  if (isHeldUp && !others.some(isRunning)) return undefined;
  return `a place is filled twice: ${kept.map(words).join("; ")}`;
}

function globalDiverges(service: Service, tasks: readonly Task[], view: View): string | undefined {
  const serving = tasks.filter(isKept);
  for (const node of view.list("node")) {
    const here = serving.filter(({ nodeId }) => nodeId === node.id);
    if (here.length === 0) {
      if (takes(node) && meets(node, service)) return `no task on ${node.id}`;
      continue;
    }
    if (!takes(node) || !meets(node, service)) return `a task on ${node.id}, which shall have none`;
    const problem = placeDiverges(here, service, view);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function jobDiverges(service: Service, total: number, { tasks, view }: Around): string | undefined {
  const iteration = service.jobStatus?.jobIteration?.index ?? 0n;
  const current = tasks.filter(({ jobIteration }) => (jobIteration?.index ?? 0n) === iteration);
  const completed = current.filter(({ status }) => status?.state === TaskState.COMPLETE);
  if (completed.length > total) return `${completed.length} of ${total} are complete`;
  if (completed.length === total) return undefined;
  const waits = current.filter(isKept);
  const stuck = waits.every((task) => isBlocked(task, service, view));
  return waits.length > 0 && stuck ? undefined : `${completed.length} of ${total} are complete`;
}

function isKept({ desiredState, status }: Task): boolean {
  const state = status?.state ?? TaskState.NEW;
  return desiredState <= TaskState.COMPLETE && state <= TaskState.RUNNING;
}

function problemOf(task: Task, service: Service, view: View): string | undefined {
  if (isBlocked(task, service, view)) return undefined;
  if (task.status?.state !== TaskState.RUNNING) return `does not run: ${words(task)}`;
  const node = view.get("node", task.nodeId);
  if (node?.status?.state !== NodeState.READY) return `runs on a lost node: ${words(task)}`;
  if (imageOf(task) !== imageOf({ spec: service.spec?.task })) {
    return isPaused(service) ? undefined : `is of an old spec: ${words(task)}`;
  }
  if (node.spec?.availability === NodeAvailability.DRAIN) {
    return hasRoom(task, service, view) ? `runs on a drained node: ${words(task)}` : undefined;
  }
  return meets(node, service) ? undefined : `runs where it may not: ${words(task)}`;
}

function isRunning({ status }: Task): boolean {
  return status?.state === TaskState.RUNNING;
}

function isPaused({ updateStatus }: Service): boolean {
  const paused = [UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED];
  return paused.some((state) => state === updateStatus?.state);
}

function imageOf({ spec }: Pick<Task, "spec">): string {
  return spec?.runtime.case === "container" ? spec.runtime.value.image : "";
}

/** It waits, and says so, and there really is no room. */
function isBlocked(task: Task, service: Service, view: View): boolean {
  if (task.status?.state !== TaskState.PENDING || task.status.err === "") return false;
  return !hasRoom(task, service, view);
}

function hasRoom(task: Task, service: Service, view: View): boolean {
  const own = task.spec?.resources?.reservations?.memoryBytes ?? 0n;
  const max = Number(task.spec?.placement?.maxReplicas ?? 0n);
  const candidates =
    task.nodeId !== "" && task.status?.state === TaskState.PENDING
      ? view.list("node").filter(({ id }) => id === task.nodeId)
      : view.list("node");
  return candidates.some((node) => {
    if (!takes(node) || !meets(node, service)) return false;
    const here = view
      .tasksOfNode(node.id)
      .filter((other) => other.id !== task.id && (other.status?.state ?? 0) <= TaskState.RUNNING);
    const reserved = here.reduce(
      (sum, other) => sum + (other.spec?.resources?.reservations?.memoryBytes ?? 0n),
      0n,
    );
    if (reserved + own > (node.description?.resources?.memoryBytes ?? 0n)) return false;
    return max === 0 || here.filter(({ serviceId }) => serviceId === service.id).length < max;
  });
}

function takes({ spec, status }: Node): boolean {
  return spec?.availability === NodeAvailability.ACTIVE && status?.state === NodeState.READY;
}

/** Only what specs.ts draws: "node.labels.zone==a". */
function meets({ spec }: Node, service: Service): boolean {
  const constraints = service.spec?.task?.placement?.constraints ?? [];
  return constraints.every(
    (text) => text === `node.labels.zone==${spec?.annotations?.labels["zone"]}`,
  );
}
