/** What the managers' loops ask of a task, in words. */
import { create } from "@bufbuild/protobuf";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeState,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";

export function stateOf(task: Task): TaskState {
  return task.status?.state ?? TaskState.NEW;
}

/** Its containers have ended and none will start any more. */
export function isTerminal(task: Task): boolean {
  return stateOf(task) > TaskState.RUNNING;
}

/** A manager wants it to run, now or soon, or, a job's, to complete: also when it has. */
export function isWanted(task: Task): boolean {
  return task.desiredState <= TaskState.COMPLETE;
}

/** A node has, or may have, something of it. */
export function isAssigned(task: Task): boolean {
  return task.nodeId !== "" && stateOf(task) >= TaskState.ASSIGNED;
}

/** Its node has said that it has it. */
export function isAccepted(task: Task): boolean {
  return task.nodeId !== "" && stateOf(task) > TaskState.ASSIGNED;
}

/** Its node is DOWN or gone: nothing more is heard of it, unless the node comes back. */
export function isLost(task: Task, nodeOf: (id: string) => Node | undefined): boolean {
  if (task.nodeId === "") return false;
  const node = nodeOf(task.nodeId);
  return node === undefined || node.status?.state === NodeState.DOWN;
}

/** Uses its node's resources and its addresses, or soon will. */
export function isAlive(task: Task): boolean {
  return task.desiredState <= TaskState.RUNNING || !isTerminal(task);
}

/** The status that a manager's loop gives a task before an agent has it. */
export function managerStatus(options: {
  readonly state: TaskState;
  readonly message: string;
  readonly err?: string;
  readonly nowMs: number;
}): TaskStatus {
  return create(TaskStatusSchema, {
    state: options.state,
    message: options.message,
    err: options.err ?? "",
    timestamp: timestampFromMs(options.nowMs),
    appliedBy: "manager",
  });
}
