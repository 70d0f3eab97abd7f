/** When and where a service's tasks run, and how many: mode, schedule with its runs, dependencies, placement. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type JobRun, type RunOverlap, RunState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration, msFromTimestamp } from "#proto/time.ts";
import { formatAgo } from "../output/age.ts";
import { conditionWords } from "./dependency-flags.ts";
import { type Line, optional, section } from "./pretty-lines.ts";
import { formatUntil, wantedReplicas } from "./scale-words.ts";
import { overlapWords } from "./schedule-flags.ts";
import { modeWord } from "./words.ts";

export function modeLines(service: Service): Line[] {
  const { mode } = service.spec ?? {};
  const numbers: Line[] = [];
  if (mode?.case === "replicated") numbers.push([1, "Replicas", `${wantedReplicas(service)}`]);
  if (mode?.case === "replicatedJob") {
    numbers.push([1, "Max concurrent", `${mode.value.maxConcurrent}`]);
    numbers.push([1, "Total completions", `${mode.value.totalCompletions}`]);
  }
  return [[0, "Service Mode", modeWord(service.spec)], ...numbers];
}

const overlapWord: ReadonlyMap<RunOverlap, string> = new Map(
  Object.entries(overlapWords).map(([word, overlap]) => [overlap, word]),
);

const runWords: Readonly<Record<RunState, string>> = {
  [RunState.RUNNING]: "running",
  [RunState.COMPLETED]: "completed",
  [RunState.FAILED]: "failed",
  [RunState.REPLACED]: "replaced",
};

export function scheduleLines({ spec, scheduleStatus }: Service, nowMs: number): Line[] {
  const { schedule } = spec ?? {};
  if (schedule === undefined) return [];
  const { nextAt, runs = [] } = scheduleStatus ?? {};
  const next = nextAt === undefined ? "" : formatUntil(msFromTimestamp(nextAt), nowMs);
  const deadlineMs = msFromDuration(schedule.startingDeadline, 0);
  return [
    [0, "Schedule"],
    [1, "Cron", schedule.cron],
    [1, "Time zone", schedule.timeZone || "UTC"],
    [1, "Overlap", overlapWord.get(schedule.overlap) ?? ""],
    [1, "Keep", `${schedule.keepCompleted ?? 3} completed, ${schedule.keepFailed ?? 1} failed`],
    ...optional(1, "Deadline", deadlineMs === 0 ? "" : `${deadlineMs / 1000}s`),
    [1, "Next run", schedule.suspended ? "suspended" : next],
    ...runs
      .toReversed()
      .map((run): Line => [1, `Run ${run.iteration?.index ?? 0}`, runWord(run, nowMs)]),
  ];
}

function runWord({ state, startedAt, scheduledAt }: JobRun, nowMs: number): string {
  const began =
    startedAt === undefined ? "" : `, began ${formatAgo(msFromTimestamp(startedAt), nowMs)}`;
  return `${runWords[state]}${began}${scheduledAt === undefined ? ", by a user" : ""}`;
}

export function dependencyLines({ spec, dependenciesMet }: Service): Line[] {
  const lines = (spec?.dependsOn ?? []).map(
    ({ service, condition, optional: isOptional }): Line => {
      return [1, service, `${conditionWords[condition]}${isOptional ? ", if it is there" : ""}`];
    },
  );
  const waits = lines.length > 0 && !dependenciesMet;
  return section(waits ? "DependsOn (not met yet)" : "DependsOn", lines);
}

export function placementLines({ spec, rebalances, rebalancesDone }: Service): Line[] {
  const { placement, priority = 0 } = spec?.task ?? {};
  const preferences = (placement?.preferences ?? []).map(
    ({ preference }) => `spread=${preference.value?.spreadDescriptor ?? ""}`,
  );
  const max = placement?.maxReplicas ?? 0n;
  return section("Placement", [
    ...optional(1, "Constraints", (placement?.constraints ?? []).join(", ")),
    ...optional(1, "Preferences", preferences.join(", ")),
    ...optional(1, "Max replicas per node", max === 0n ? "" : `${max}`),
    ...optional(1, "Priority", priority === 0 ? "" : `${priority}`),
    ...optional(1, "Rebalance", rebalances > rebalancesDone ? "under way" : ""),
  ]);
}
