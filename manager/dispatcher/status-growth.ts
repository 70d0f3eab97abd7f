/**
 * Whether a reported status is news. Statuses grow by (attempt, state) and never go back: reports may arrive late, twice
 * or out of order. Within one attempt and state, a newer timestamp brings newer words; a new health is more than words,
 * because DNS goes by it. Pure.
 */
import { Health, TaskState, type TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";

/** grown: must be stored. reworded: the same state in newer words. stale: to be ignored. */
export type Growth = "grown" | "reworded" | "stale";

export function compareStatus(known: TaskStatus | undefined, reported: TaskStatus): Growth {
  if (known === undefined) return "grown";
  // The end is the end: no attempt follows it.
  if (known.state > TaskState.RUNNING && reported.state <= TaskState.RUNNING) return "stale";
  if (reported.attempt !== known.attempt) {
    return reported.attempt > known.attempt ? "grown" : "stale";
  }
  if (reported.state !== known.state) return reported.state > known.state ? "grown" : "stale";
  const newer = msFromTimestamp(reported.timestamp) > msFromTimestamp(known.timestamp);
  if (!newer) return "stale";
  return healthOf(reported) === healthOf(known) ? "reworded" : "grown";
}

function healthOf(status: TaskStatus): Health {
  return status.container?.health ?? Health.NONE;
}
