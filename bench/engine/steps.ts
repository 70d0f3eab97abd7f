/**
 * What each step of a container's start costs: services of one task, one after another, and the times at which the task's
 * states changed, as manager and agent wrote them down. Of states in quick succession only the last may be told; then
 * its step holds those before it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Ground } from "../ground.ts";
import { deploy, remove, type Trial } from "../trial.ts";

const repeats = 10;
const settleMs = 300;

/** By the state that a step ends in: milliseconds since the state before, one for each task that told it. */
export type Steps = ReadonlyMap<string, readonly number[]>;

interface Change {
  readonly state: TaskState;
  readonly atMs: number;
}

export async function measureSteps(ground: Ground, trial: Trial): Promise<Steps> {
  const { side, signal } = trial;
  const [manager] = side.hosts;
  if (manager === undefined) throw new Fault("internal", "there is no host");
  using connection = manager.connect("manager");
  const control = connection.service(ControlService);
  const steps = new Map<string, number[]>();
  for (let repeat = 1; repeat <= repeats; repeat++) {
    const workload = ground.sleeper(`steps-${repeat}`, 1);
    const done = new AbortController();
    const watching = taskChanges(control, done.signal);
    await deploy(trial, workload);
    await sleep(settleMs, undefined, { signal });
    done.abort();
    addSteps(steps, await watching);
    await remove(trial, workload);
  }
  return steps;
}

/** What tasks went through until the signal aborts. */
async function taskChanges(
  control: Client<typeof ControlService>,
  signal: AbortSignal,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  try {
    for await (const { events } of control.watch({ kinds: ["task"] }, { signal })) {
      for (const { action } of events) {
        const object = action?.object?.object;
        const status = object?.case === "task" ? object.value.status : undefined;
        if (status === undefined) continue;
        changes.push({ state: status.state, atMs: msFromTimestamp(status.timestamp) });
      }
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
  return changes;
}

function addSteps(steps: Map<string, number[]>, changes: readonly Change[]): void {
  let before: Change | undefined;
  for (const change of changes) {
    if (change.state > TaskState.RUNNING) return;
    if (before !== undefined && change.state > before.state) {
      const name = nameOf(change.state);
      steps.set(name, [...(steps.get(name) ?? []), change.atMs - before.atMs]);
    }
    if (before === undefined || change.state > before.state) before = change;
  }
}

function nameOf(state: TaskState): string {
  return Object.entries(TaskState).find(([, number]) => number === state)?.[0] ?? String(state);
}
