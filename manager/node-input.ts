/**
 * What nodes say of themselves and of their tasks, before it goes into the log: a single node must not be able to fill
 * that, nor to make a batch of many nodes' news too large for it. Agents keep well below.
 */
import { toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type NodeDescription,
  NodeDescriptionSchema,
  type TaskStatus,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";

const bytesMax = 64 * 1024;

export function checkDescription(description: NodeDescription): void {
  check("the node's description", toBinary(NodeDescriptionSchema, description));
}

export function checkStatus(taskId: string, status: TaskStatus): void {
  check(`the status of task ${taskId}`, toBinary(TaskStatusSchema, status));
}

function check(what: string, { length }: Uint8Array): void {
  if (length <= bytesMax) return;
  throw new Fault("invalid-argument", `${what} has ${length} bytes: use at most ${bytesMax}`);
}
