/**
 * Events of tasks, which Docker does not have: each state that a task comes to, what it waits for, in-place restarts, its
 * health in Docker's words, and that it shall stop.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Health, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { taskName } from "../service/words.ts";
import { wordOf } from "../output/enum-words.ts";
import { type Attributes, type HappenedEvent, type Pair } from "./event.ts";

export function taskEvents({ before, after }: Pair<Task>): readonly HappenedEvent[] {
  const task = after ?? before;
  if (task === undefined) return [];
  const event = (action: string, attributes: Attributes = {}): HappenedEvent => ({
    type: "task",
    action,
    id: task.id,
    attributes: { ...whereOf(task), ...attributes },
  });
  if (before === undefined) return [event("create"), ...waits(before, task).map(waitEvent)];
  if (after === undefined) return [event("remove")];
  function waitEvent(reason: string): HappenedEvent {
    return event("wait", { reason });
  }
  return [
    ...waits(before, after).map(waitEvent),
    ...states(before, after).map(([action, attributes]) => event(action, attributes)),
    ...stops(before, after).map((attributes) => event("stop", attributes)),
    ...healths(before, after).map((health) => event(`health_status: ${health}`)),
  ];
}

function whereOf(task: Task): Attributes {
  return {
    name: taskName(task),
    service: task.serviceAnnotations?.name ?? task.serviceId,
    ...(task.nodeId !== "" && { node: task.nodeId }),
  };
}

const stateOf = ({ status }: Task) => status?.state ?? TaskState.NEW;

/** Why it has no node yet, told again when the reason is another one; or what it waits for before it may start. */
function waits(before: Task | undefined, after: Task): readonly string[] {
  const reason = waitReason(after);
  return reason === "" || (before !== undefined && waitReason(before) === reason) ? [] : [reason];
}

function waitReason(task: Task): string {
  const { err = "", message = "" } = task.status ?? {};
  if (stateOf(task) === TaskState.PENDING) return err;
  const isHeld = stateOf(task) === TaskState.READY && task.desiredState === TaskState.READY;
  return isHeld && /wait/i.test(message) ? message : "";
}

type StateEvent = readonly [action: string, attributes: Attributes];

/** NEW and PENDING come with the creation; why a task stays there, `waits` tells. */
function states(before: Task, after: Task): readonly StateEvent[] {
  const { status } = after;
  const attempt = status?.attempt ?? 0;
  const attemptBefore = before.status?.attempt ?? 0;
  const restart: readonly StateEvent[] =
    attempt > attemptBefore && attemptBefore > 0
      ? [["restart", { attempt: String(attempt), ...lastEnding(after) }]]
      : [];
  const [old, now] = [stateOf(before), stateOf(after)];
  if (old === now || now <= TaskState.PENDING) return restart;
  const failed = now === TaskState.FAILED || now === TaskState.REJECTED;
  const exitCode = status?.container?.exitCode ?? 0;
  const attributes: Attributes = {
    "state.new": wordOf(TaskState, now),
    "state.old": wordOf(TaskState, old),
    ...(status?.err && { error: status.err }),
    ...(now >= TaskState.COMPLETE && (failed || exitCode !== 0) && { exitCode: `${exitCode}` }),
  };
  return [...restart, [wordOf(TaskState, now), attributes]];
}

/** How the attempt before this one went. */
function lastEnding({ status }: Task): Attributes {
  const last = status?.attempts.at(-1);
  if (last === undefined) return {};
  return { exitCode: `${last.exitCode}`, ...(last.reason !== "" && { reason: last.reason }) };
}

/** The managers want it no more, whether it has stopped or not. */
function stops(before: Task, after: Task): readonly Attributes[] {
  const wanted = ({ desiredState }: Task) => desiredState <= TaskState.COMPLETE;
  if (!wanted(before) || wanted(after) || stateOf(after) >= TaskState.COMPLETE) return [];
  const reason = after.desiredMessage;
  return [reason === "" ? {} : { reason }];
}

function healths(before: Task, after: Task): readonly string[] {
  const health = after.status?.container?.health ?? Health.NONE;
  if (health === Health.NONE || health === before.status?.container?.health) return [];
  return [wordOf(Health, health)];
}
