/**
 * The dependency gate: whether what a service waits for is there, and what its tasks do about it. Pure.
 *
 * Tasks of a service that waits are made with the desired state READY: nodes are chosen and images pulled meanwhile. When
 * all is met the service says so for good, and its tasks are let go.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type Dependency,
  DependencyCondition,
  RunState,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isJob, iterationOf } from "../job.ts";
import { wantedReplicas } from "../service-spec.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isWanted, stateOf } from "../task.ts";
import { wantedNodes } from "./eligible-nodes.ts";
import { planDesired, waitsForOthers } from "./new-task.ts";
import { type RunContext, verdictOf } from "./plan-job.ts";

export function planGate(service: Service, view: View, nowMs: number): readonly Action[] {
  const tasks = view.tasksOfService(service.id);
  const held = tasks.filter(({ desiredState }) => desiredState === TaskState.READY);
  if (!waitsForOthers(service)) return held.map((task) => planLetGo(task, service, nowMs));
  const missing = (service.spec?.dependsOn ?? []).flatMap(
    (dependency) => whatIsMissing(dependency, view, nowMs) ?? [],
  );
  if (missing.length > 0) return planWords(held, `waiting for ${missing.join(", ")}`);
  return [
    { action: "update", kind: "service", object: { ...service, dependenciesMet: true } },
    ...held.map((task) => planLetGo(task, service, nowMs)),
  ];
}

function planLetGo(task: Task, service: Service, nowMs: number): Action {
  const desired = isJob(service) ? TaskState.COMPLETE : TaskState.RUNNING;
  return planDesired(task, desired, nowMs);
}

/** In the place of "ready", which a task that has come that far says. */
function planWords(tasks: readonly Task[], message: string): readonly Action[] {
  return tasks.flatMap((task) => {
    const { status } = task;
    const speaks = status?.state === TaskState.READY || status?.state === TaskState.NEW;
    if (!speaks || status.message === message) return [];
    return [
      { action: "update", kind: "task", object: { ...task, status: { ...status, message } } },
    ];
  });
}

/** What is waited for, in words; undefined when it is there. */
function whatIsMissing(dependency: Dependency, view: View, nowMs: number): string | undefined {
  const { service: name, condition, optional } = dependency;
  const service = view.byName("service", name);
  if (service === undefined) return optional ? undefined : `service ${name}, which does not exist`;
  const tasks = view
    .tasksOfService(service.id)
    .filter(({ desiredState }) => desiredState < TaskState.REMOVE);
  switch (condition) {
    case DependencyCondition.COMPLETED:
      return completionOf(name, endOf(service, tasks, { view, nowMs }));
    case DependencyCondition.HEALTHY: {
      const wanted = isJob(service) ? 1 : wantedTasks(view, service, tasks);
      const up = countUp(tasks);
      return up >= wanted ? undefined : `${name} to run and be healthy (${up} of ${wanted} do)`;
    }
    default: {
      const some = Math.min(isJob(service) ? 1 : wantedTasks(view, service, tasks), 1);
      return countUp(tasks) >= some ? undefined : `${name} to start`;
    }
  }
}

function completionOf(name: string, end: RunState): string | undefined {
  if (end === RunState.COMPLETED) return undefined;
  const isOver = end === RunState.FAILED;
  return `${name} to complete${isOver ? ", which has failed: run it again" : ""}`;
}

function wantedTasks(view: View, service: Service, tasks: readonly Task[]): number {
  return service.spec?.mode.case === "global"
    ? wantedNodes(view, service, tasks).size
    : wantedReplicas(service);
}

/** One that has a check is RUNNING only when it is healthy; one that completed was. */
function countUp(tasks: readonly Task[]): number {
  const up = tasks.filter(
    (task) =>
      (isWanted(task) && stateOf(task) === TaskState.RUNNING) ||
      stateOf(task) === TaskState.COMPLETE,
  );
  return new Set(up.map(placeOf)).size;
}

interface Now {
  readonly view: View;
  readonly nowMs: number;
}

/** Of a job's newest run, or of any of one with a schedule; another service has completed with a task of each slot. */
function endOf(service: Service, tasks: readonly Task[], { view, nowMs }: Now): RunState {
  const endIf = (isOver: boolean) => (isOver ? RunState.COMPLETED : RunState.RUNNING);
  if (!isJob(service)) {
    const completed = tasks.filter((task) => stateOf(task) === TaskState.COMPLETE);
    return endIf(new Set(completed.map(placeOf)).size >= wantedTasks(view, service, tasks));
  }
  if (service.spec?.schedule !== undefined) {
    const runs = service.scheduleStatus?.runs ?? [];
    return endIf(runs.some(({ state }) => state === RunState.COMPLETED));
  }
  const iteration = iterationOf(service);
  const own = tasks.filter(({ jobIteration }) => jobIteration?.index === iteration);
  const context: RunContext = {
    service,
    nodes: view.list("node"),
    node: (id) => view.get("node", id),
    nowMs,
  };
  return verdictOf(own, context);
}

function placeOf({ slot, nodeId }: Task): string {
  return slot === 0n ? nodeId : `${slot}`;
}
