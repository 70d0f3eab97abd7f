import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  NetworkService,
  type TraceStep,
  TraceStep_Outcome as Outcome,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { isAddress6 } from "#proto/ipv6.ts";
import { addressPart } from "#proto/cidr.ts";
import type { Context, ControlClient } from "../context.ts";
import { nodeName } from "../node-call.ts";
import { visible } from "../output/table.ts";
import { taskName } from "../service/words.ts";

const words: Readonly<Record<Outcome, string>> = {
  [Outcome.OK]: "ok  ",
  [Outcome.FAILED]: "FAIL",
  [Outcome.NOTE]: "-   ",
};

const portMax = 65_535;

const silenceWords =
  "All of it is as it should be, but nothing answered: see whether packets pass between the hosts with swarmctl system check --mesh";

export function define(command: Command, context: Context): void {
  command
    .argument("<task>", "where the way begins: ID, prefix of an ID, or name such as web.1")
    .argument("<destination>", "a task, or HOST:PORT as the task would write it")
    .action(async (from: string, to: string) => {
      const control = await context.control();
      const { task: source } = await control.getTask({ ref: from });
      if (source === undefined) throw new Fault("internal", "The manager returned no task");
      if (source.nodeId === "") {
        const message = `Task "${taskName(source)}" is on no node yet: see swarmctl task ls`;
        throw new Fault("failed-precondition", message);
      }
      const destination = await resolve(control, source, parseDestination(to));
      if (!(await trace(context, control, { source, ...destination }))) context.exitCode = 1;
    });
}

interface Destination {
  readonly host: string;
  /** 0: none was given. */
  readonly port: number;
}

/** "web:80", "10.0.1.5", "[fd00::5]:80", "web.1". */
export function parseDestination(text: string): Destination {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (isAddress6(text) ? text : undefined);
  const port = Number(match?.[3] ?? 0);
  if (host === undefined || port > portMax || (match?.[3] !== undefined && port === 0)) {
    throw new Fault("invalid-argument", `"${text}" is no task, HOST or HOST:PORT`);
  }
  return { host, port };
}

/** A task is asked for by its address on a network of the source's; everything else as it is. */
async function resolve(
  control: ControlClient,
  source: Task,
  { host, port }: Destination,
): Promise<Destination> {
  const task = await findTask(control, host);
  if (task === undefined) return { host, port };
  const shared = task.networks.find(({ network }) =>
    source.networks.some((own) => own.network?.id === network?.id && own.addresses.length > 0),
  );
  const [address] =
    (shared ?? task.networks.find(({ addresses }) => addresses.length > 0))?.addresses ?? [];
  if (address === undefined) {
    const message = `Task "${taskName(task)}" has no address: it is on no network of the cluster`;
    throw new Fault("failed-precondition", message);
  }
  return { host: addressPart(address), port };
}

async function findTask(control: ControlClient, ref: string): Promise<Task | undefined> {
  try {
    return (await control.getTask({ ref })).task;
  } catch (thrown) {
    if (Fault.from(thrown).code === "not-found") return undefined;
    throw thrown;
  }
}

/** Whether the whole way is open. */
async function trace(
  context: Context,
  control: ControlClient,
  { source, host, port }: Destination & { readonly source: Task },
): Promise<boolean> {
  const from = await context.engine(NetworkService, source.nodeId);
  const there = await from.traceFromTask({ taskId: source.id, destination: host, port });
  await print(context, control, source.nodeId, there.steps);
  const { nextTaskId: taskId, nextNodeId, sourceAddress, answered } = there;
  if (hasFailed(there.steps) || taskId === "") return answered;
  const to = await context.engine(NetworkService, nextNodeId);
  const { steps } = await to.traceToTask({ taskId, sourceAddress, port });
  await print(context, control, nextNodeId, steps);
  if (!answered && !hasFailed(steps)) context.print(silenceWords);
  return answered;
}

function hasFailed(steps: readonly TraceStep[]): boolean {
  return steps.some(({ outcome }) => outcome === Outcome.FAILED);
}

async function print(
  context: Context,
  control: ControlClient,
  nodeId: string,
  steps: readonly TraceStep[],
): Promise<void> {
  const { node } = await control.getNode({ ref: nodeId });
  const name = node === undefined ? nodeId : nodeName(node);
  for (const { outcome, text } of steps) {
    context.print(`${visible(name)}  ${words[outcome]}  ${visible(text)}`);
  }
}
