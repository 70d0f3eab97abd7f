/**
 * How far a service is from what its spec wants, as the events of a watch tell it. Pure: `onWatch` folds events;
 * judge.ts says what they mean, progress-lines.ts puts it in words.
 */
import { equals } from "@bufbuild/protobuf";
import type { WatchResponse } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Node,
  type Service,
  StoreActionKind,
  type StoreObject,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability, TaskState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { whyNot } from "../task/rows.ts";
import { isJob, isOfRun } from "./run-progress.ts";
import { wantedReplicas } from "./scale-words.ts";
import { compareText } from "../output/table.ts";
import { placeOf, taskName } from "./words.ts";

export interface Progress {
  readonly serviceId: string;
  readonly service: Service | undefined;
  readonly removed: boolean;
  readonly tasks: ReadonlyMap<string, Task>;
  /** IDs of those made from the present spec, or from an older one that wants the same container, as after a change of replicas. */
  readonly ofSpec: ReadonlySet<string>;
  readonly hostnames: ReadonlyMap<string, string>;
  /** IDs of paused nodes: what a global service has there stays as it is until they are active again. */
  readonly paused: ReadonlySet<string>;
  /** Grows with each news of a node. */
  readonly nodes: number;
  /** Of a service with a task on each node, how many it shall have, as managers count them. */
  readonly desired: number | undefined;
  /** The run that is waited for; undefined: a job's newest. */
  readonly run: bigint | undefined;
  /** Why the managers have begun to roll back, in their words, where that was seen. */
  readonly setback: string | undefined;
}

export function noProgress(serviceId: string, run?: bigint): Progress {
  const nothing = { service: undefined, removed: false, desired: undefined, setback: undefined };
  const tasks = { tasks: new Map(), ofSpec: new Set<string>() };
  const hosts = { hostnames: new Map(), paused: new Set<string>() };
  return { serviceId, ...nothing, ...tasks, ...hosts, run, nodes: 0 };
}

/** Copied once for all events: the first response of a watch tells of every task that there is. */
export function onWatch(progress: Progress, response: WatchResponse): Progress {
  const next = {
    ...progress,
    tasks: new Map(progress.tasks),
    ofSpec: new Set(progress.ofSpec),
    hostnames: new Map(progress.hostnames),
    paused: new Set(progress.paused),
  };
  for (const { action } of response.events) {
    if (action?.object === undefined) continue;
    foldObject(next, action.object, action.kind === StoreActionKind.REMOVE);
  }
  foldSpecs(next, progress.service, response);
  return next;
}

interface Draft {
  readonly serviceId: string;
  service: Service | undefined;
  removed: boolean;
  setback: string | undefined;
  nodes: number;
  readonly tasks: Map<string, Task>;
  readonly ofSpec: Set<string>;
  readonly hostnames: Map<string, string>;
  readonly paused: Set<string>;
}

function foldObject(draft: Draft, { object }: StoreObject, removed: boolean): void {
  switch (object.case) {
    case "service":
      if (object.value.id !== draft.serviceId) return;
      draft.service = object.value;
      draft.removed = removed;
      if (object.value.updateStatus?.state === UpdateState.ROLLBACK_STARTED) {
        draft.setback = object.value.updateStatus.message;
      }
      return;
    case "task":
      if (removed) draft.tasks.delete(object.value.id);
      else if (object.value.serviceId === draft.serviceId) {
        draft.tasks.set(object.value.id, object.value);
      }
      return;
    case "node":
      foldNode(draft, object.value);
      return;
    default:
      return;
  }
}

function foldNode(draft: Draft, { id, description, spec }: Node): void {
  draft.nodes += 1;
  draft.hostnames.set(id, description?.hostname ?? id);
  if (spec?.availability === NodeAvailability.PAUSE) draft.paused.add(id);
  else draft.paused.delete(id);
}

/** Specs take long to compare: each task's is when there is news of it, and all are when the service's is another. */
function foldSpecs(draft: Draft, before: Service | undefined, { events }: WatchResponse): void {
  const { service, tasks, ofSpec } = draft;
  if (service === undefined) return;
  const news = events.flatMap(({ action }) => {
    const object = action?.object?.object;
    return object?.case === "task" ? [object.value.id] : [];
  });
  const isSame = before !== undefined && wantsSame(before, service);
  for (const id of isSame ? news : tasks.keys()) {
    const task = tasks.get(id);
    if (task !== undefined && isOfSpec(task, service)) ofSpec.add(id);
    else ofSpec.delete(id);
  }
}

function wantsSame(a: Service, b: Service): boolean {
  if (a === b) return true;
  return a.specVersion?.index === b.specVersion?.index && isSameSpec(a.spec?.task, b.spec?.task);
}

function isOfSpec(task: Task, service: Service): boolean {
  if (task.specVersion?.index === service.specVersion?.index) return true;
  return isSameSpec(task.spec, service.spec?.task);
}

function isSameSpec(a: TaskSpec | undefined, b: TaskSpec | undefined): boolean {
  return a !== undefined && b !== undefined && equals(TaskSpecSchema, a, b);
}

export function isUnderUpdate({ updateStatus }: Service): boolean {
  return (
    updateStatus?.state === UpdateState.UPDATING ||
    updateStatus?.state === UpdateState.ROLLBACK_STARTED
  );
}

export function isRollback({ updateStatus }: Service): boolean {
  return (
    updateStatus?.state === UpdateState.ROLLBACK_STARTED ||
    updateStatus?.state === UpdateState.ROLLBACK_PAUSED ||
    updateStatus?.state === UpdateState.ROLLBACK_COMPLETED
  );
}

/** The tasks that shall run, whichever spec they were made from; of a job those of its run that shall. */
export function wantedTasks(progress: Progress): Task[] {
  const { service, tasks } = progress;
  const isWanted =
    service !== undefined && isJob(service)
      ? (task: Task) => isOfRun(task, progress) && task.desiredState <= TaskState.COMPLETE
      : (task: Task) => task.desiredState <= TaskState.RUNNING;
  return [...tasks.values()].filter(isWanted).toSorted(comparePlaces);
}

function comparePlaces(a: Task, b: Task): number {
  return (
    Number(a.slot - b.slot) ||
    compareText(a.slot === 0n ? a.nodeId : "", b.slot === 0n ? b.nodeId : "")
  );
}

/** Undefined: managers have not said yet. */
export function wantedCount({ service, desired }: Progress): number | undefined {
  const mode = service?.spec?.mode;
  switch (mode?.case) {
    case "global":
    case "globalJob":
      return desired;
    case "replicatedJob":
      return Number(mode.value.totalCompletions);
    default:
      return service === undefined ? 0 : Number(wantedReplicas(service));
  }
}

export function runningCount(progress: Progress): number {
  return wantedTasks(progress).filter((task) => isUp(task, progress)).length;
}

export function isUp({ id, status, slot, nodeId }: Task, { ofSpec, paused }: Progress): boolean {
  const isKept = slot === 0n && paused.has(nodeId);
  return status?.state === TaskState.RUNNING && (ofSpec.has(id) || isKept);
}

export function tasksOfSpec(progress: Progress): Task[] {
  const { service } = progress;
  if (service === undefined) return [];
  const isRun = isJob(service);
  return [...progress.tasks.values()].filter(
    (task) => progress.ofSpec.has(task.id) && (!isRun || isOfRun(task, progress)),
  );
}

/**
 * One task per slot, or node, as it stands now: the one that shall run, or the last that failed where the next is yet to be made.
 */
export function presentTasks(progress: Progress): Task[] {
  const wanted = wantedTasks(progress);
  const missing = Math.max(0, (wantedCount(progress) ?? 0) - wanted.length);
  const taken = new Set(wanted.map(placeOf));
  const failed = [...failures(progress).values()].filter((task) => !taken.has(placeOf(task)));
  return [...wanted, ...failed.slice(0, missing)].toSorted(comparePlaces);
}

/** What is in the way, in one line: the first error that a task reports, or that the one before it has ended with. */
export function firstError(progress: Progress): string | undefined {
  const failed = failures(progress);
  for (const task of presentTasks(progress)) {
    if (task.status?.state === TaskState.COMPLETE) continue;
    // An old task that runs may be there because the new one does not.
    if (isUp(task, progress)) continue;
    const err = whyNot(task) || failed.get(placeOf(task))?.status?.err;
    if (err) return `${taskName(task)}: ${err}`;
  }
  return undefined;
}

/** Of each slot the newest task, made from the present spec, that is over because it failed. */
function failures(progress: Progress): ReadonlyMap<string, Task> {
  const newest = new Map<string, Task>();
  for (const task of tasksOfSpec(progress)) {
    const state = task.status?.state ?? TaskState.NEW;
    if (state !== TaskState.FAILED && state !== TaskState.REJECTED) continue;
    const other = newest.get(placeOf(task));
    if (other === undefined || createdAtMs(task) > createdAtMs(other))
      newest.set(placeOf(task), task);
  }
  return newest;
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}
