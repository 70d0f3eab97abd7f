/** A task's state as the status that managers and users see. Pure. */
import { create } from "@bufbuild/protobuf";
import {
  type Attempt,
  AttemptSchema,
  type ContainerStatus,
  ContainerStatusSchema,
  Health,
  type TaskStatus,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { type EndedAttempt, isLive, type State, shownState } from "./state.ts";

/** What runc and registries say may be long; a status goes into the managers' log, which takes 64 KiB of one. */
const wordsLengthMax = 2_000;

export function statusOf(taskId: string, state: State): TaskStatus {
  return create(TaskStatusSchema, {
    timestamp: timestampFromMs(state.changedAtMs),
    state: shownState(state),
    message: shortened(state.message),
    err: shortened(state.err),
    attempt: state.attempt,
    attempts: state.attempts.map(attemptOf),
    ...containerOf(taskId, state),
  });
}

/** All that changes is but for a probe that finds what the one before it found. */
export function isNewToManagers(before: State, after: State): boolean {
  return before.changedAtMs !== after.changedAtMs || before.phase !== after.phase;
}

function attemptOf(ended: EndedAttempt): Attempt {
  return create(AttemptSchema, {
    number: ended.number,
    startedAt: timestampFromMs(ended.startedAtMs),
    endedAt: timestampFromMs(ended.endedAtMs),
    ...(ended.upAtMs !== 0 && { upAt: timestampFromMs(ended.upAtMs) }),
    exitCode: ended.exitCode,
    reason: shortened(ended.reason),
  });
}

function shortened(words: string): string {
  if (words.length <= wordsLengthMax) return words;
  return `${words.slice(0, wordsLengthMax).toWellFormed()}…`;
}

/** The container that runs, or else the last one that ended. */
function containerOf(taskId: string, state: State): { container?: ContainerStatus } {
  const { phase } = state;
  if (isLive(phase)) {
    const health = healthOf(state);
    return {
      container: create(ContainerStatusSchema, { containerId: taskId, pid: phase.pid, health }),
    };
  }
  const last = state.attempts.at(-1);
  if (last === undefined) return {};
  const { exitCode, oomKilled } = last;
  return { container: create(ContainerStatusSchema, { containerId: taskId, exitCode, oomKilled }) };
}

function healthOf({ health }: State): Health {
  switch (health?.status) {
    case undefined:
      return Health.NONE;
    case "starting":
      return Health.STARTING;
    case "healthy":
      return Health.HEALTHY;
    case "unhealthy":
      return Health.UNHEALTHY;
  }
}
