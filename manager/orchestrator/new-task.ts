/** A service's new task, and what its service's end comes to for it: the same for all modes. Pure. */
import { create } from "@bufbuild/protobuf";
import { type Service, type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Driver, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { Action } from "../store/objects.ts";
import { managerStatus } from "../task.ts";

export interface NewTaskContext {
  readonly service: Service;
  readonly nowMs: number;
  readonly newTaskId: () => string;
  /** Of tasks whose service names none. */
  readonly logDriver: Driver | undefined;
}

/** Which of its service's tasks it is: that of a slot, from 1, or that of a node. */
export type TaskPlace = { readonly slot: number } | { readonly nodeId: string };

export function newTask(context: NewTaskContext, place: TaskPlace): Task {
  const { service, newTaskId, nowMs } = context;
  const id = newTaskId();
  const serviceName = service.spec?.annotations?.name ?? service.id;
  const placeName = "slot" in place ? place.slot : place.nodeId;
  const waits = waitsForOthers(service);
  const task = create(TaskSchema, {
    id,
    serviceId: service.id,
    desiredState: waits ? TaskState.READY : TaskState.RUNNING,
    desiredAt: timestampFromMs(nowMs),
    annotations: { name: `${serviceName}.${placeName}.${id}` },
    status: managerStatus({ state: TaskState.NEW, message: "created", nowMs }),
    ...("slot" in place ? { slot: BigInt(place.slot) } : { nodeId: place.nodeId }),
  });
  task.spec = service.spec?.task;
  const logDriver = task.spec?.logDriver ?? context.logDriver;
  if (logDriver !== undefined) task.logDriver = logDriver;
  task.specVersion = service.specVersion;
  task.serviceAnnotations = service.spec?.annotations;
  return task;
}

/** Whether its tasks get ready and then wait: the dependency gate lets them go on. */
export function waitsForOthers({ spec, dependenciesMet }: Service): boolean {
  return !dependenciesMet && (spec?.dependsOn ?? []).length > 0;
}

/** A task whose service is gone, or has no use for it or for what is known of it. */
export function planRemove(task: Task, nowMs: number): Action {
  return planDesired(task, TaskState.REMOVE, nowMs);
}

export function planStop(task: Task, nowMs: number): Action {
  return planDesired(task, TaskState.SHUTDOWN, nowMs);
}

export function planDesired(task: Task, desiredState: TaskState, nowMs: number): Action {
  const desiredAt = timestampFromMs(nowMs);
  return { action: "update", kind: "task", object: { ...task, desiredState, desiredAt } };
}
