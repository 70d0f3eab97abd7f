/**
 * How far a service is from what its spec wants, as the events of a watch tell it. Pure: `onWatch` folds events,
 * `judge` says what they mean, `describe` puts it in words.
 */
import { equals } from "@bufbuild/protobuf";
import type { WatchResponse } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Service,
  StoreActionKind,
  type StoreObject,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { RestartCondition, TaskState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { ended } from "../task/rows.ts";
import { findGivenUp } from "./given-up.ts";
import { taskName } from "./words.ts";

export interface Progress {
  readonly serviceId: string;
  readonly service: Service | undefined;
  readonly removed: boolean;
  readonly tasks: ReadonlyMap<string, Task>;
  readonly hostnames: ReadonlyMap<string, string>;
  /** Why the managers have begun to roll back, in their words, where that was seen. */
  readonly setback: string | undefined;
}

export type Verdict =
  | { readonly kind: "waiting" }
  /** `fingerprint` stays the same as long as nothing restarts. */
  | { readonly kind: "converged"; readonly fingerprint: string }
  | { readonly kind: "failed"; readonly reason: string };

export function noProgress(serviceId: string): Progress {
  const nothing = { service: undefined, removed: false, setback: undefined };
  return { serviceId, ...nothing, tasks: new Map(), hostnames: new Map() };
}

/** Copied once for all events: the first response of a watch tells of every task that there is. */
export function onWatch(progress: Progress, response: WatchResponse): Progress {
  const next = {
    ...progress,
    tasks: new Map(progress.tasks),
    hostnames: new Map(progress.hostnames),
  };
  for (const { action } of response.events) {
    if (action?.object === undefined) continue;
    foldObject(next, action.object, action.kind === StoreActionKind.REMOVE);
  }
  return next;
}

interface Draft {
  readonly serviceId: string;
  service: Service | undefined;
  removed: boolean;
  setback: string | undefined;
  readonly tasks: Map<string, Task>;
  readonly hostnames: Map<string, string>;
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
      draft.hostnames.set(object.value.id, object.value.description?.hostname ?? object.value.id);
      return;
    default:
      return;
  }
}

/** `rollback`: whether going back is what was asked for. */
export function judge(progress: Progress, { rollback = false } = {}): Verdict {
  const { service } = progress;
  if (progress.removed) return { kind: "failed", reason: "it was removed meanwhile" };
  if (service === undefined) return { kind: "waiting" };
  const { state, message = "" } = service.updateStatus ?? {};
  if (state === UpdateState.PAUSED || state === UpdateState.ROLLBACK_PAUSED) {
    return { kind: "failed", reason: message };
  }
  if (state === UpdateState.ROLLBACK_COMPLETED && !rollback) {
    return { kind: "failed", reason: progress.setback ?? "update rolled back" };
  }
  // The managers judge its tasks meanwhile, and will say so here.
  if (isUnderUpdate(service)) return { kind: "waiting" };
  return judgeTasks(progress, service);
}

function judgeTasks(progress: Progress, service: Service): Verdict {
  const tasks = wantedTasks(progress);
  const dead = tasks.find((task) => endedForGood(task)) ?? findGivenUp(tasksOfSpec(progress));
  if (dead !== undefined) return { kind: "failed", reason: describeEnd(dead) };
  if (tasks.length !== wantedCount(progress) || !tasks.every((task) => isUp(task, service))) {
    return { kind: "waiting" };
  }
  return { kind: "converged", fingerprint: tasks.map(incarnation).toSorted().join() };
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

/** The tasks that shall run, whichever spec they were made from. */
export function wantedTasks({ tasks }: Progress): Task[] {
  return [...tasks.values()]
    .filter((task) => task.desiredState <= TaskState.RUNNING)
    .toSorted((a, b) => Number(a.slot - b.slot));
}

export function wantedCount({ service }: Progress): number {
  const mode = service?.spec?.mode;
  return mode?.case === "replicated" ? Number(mode.value.replicas) : 0;
}

export function runningCount(progress: Progress): number {
  const { service } = progress;
  if (service === undefined) return 0;
  return wantedTasks(progress).filter((task) => isUp(task, service)).length;
}

function isUp(task: Task, service: Service): boolean {
  return task.status?.state === TaskState.RUNNING && isOfSpec(task, service);
}

/** Made from the present spec, or from an older one that wants the same container, as after a change of replicas. */
function isOfSpec(task: Task, service: Service): boolean {
  if (task.specVersion?.index === service.specVersion?.index) return true;
  const { spec } = task;
  const wanted = service.spec?.task;
  return spec !== undefined && wanted !== undefined && equals(TaskSpecSchema, spec, wanted);
}

function endedForGood(task: Task): boolean {
  return (
    task.spec?.restart?.condition === RestartCondition.NONE &&
    ended(task.status?.state ?? TaskState.NEW)
  );
}

function tasksOfSpec({ service, tasks }: Progress): Task[] {
  return [...tasks.values()].filter((task) => service !== undefined && isOfSpec(task, service));
}

function describeEnd(task: Task): string {
  const reason =
    task.status?.err || `it ended with exit code ${task.status?.container?.exitCode ?? 0}`;
  return `${taskName(task)} is not restarted: ${reason}`;
}

function incarnation(task: Task): string {
  return `${task.id}/${task.status?.attempt ?? 0}`;
}

/**
 * One task per slot as it stands now: the one that shall run, or the last that failed where the next is yet to be made.
 */
export function presentTasks(progress: Progress): Task[] {
  const wanted = wantedTasks(progress);
  const missing = Math.max(0, wantedCount(progress) - wanted.length);
  const taken = new Set(wanted.map(({ slot }) => slot));
  const failed = [...failures(progress).values()].filter(({ slot }) => !taken.has(slot));
  return [...wanted, ...failed.slice(0, missing)].toSorted((a, b) => Number(a.slot - b.slot));
}

/** What is in the way, in one line: the first error that a task reports, or that the one before it has ended with. */
export function firstError(progress: Progress): string | undefined {
  const failed = failures(progress);
  for (const task of presentTasks(progress)) {
    // An old task that runs may be there because the new one does not.
    if (progress.service !== undefined && isUp(task, progress.service)) continue;
    const err = task.status?.err || failed.get(task.slot)?.status?.err;
    if (err) return `${taskName(task)}: ${err}`;
  }
  return undefined;
}

/** Of each slot the newest task, made from the present spec, that is over because it failed. */
function failures(progress: Progress): ReadonlyMap<bigint, Task> {
  const newest = new Map<bigint, Task>();
  for (const task of tasksOfSpec(progress)) {
    const state = task.status?.state ?? TaskState.NEW;
    if (state !== TaskState.FAILED && state !== TaskState.REJECTED) continue;
    const other = newest.get(task.slot);
    if (other === undefined || createdAtMs(task) > createdAtMs(other)) newest.set(task.slot, task);
  }
  return newest;
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}
