/**
 * The update supervisor: whose turn it is, when an update has failed, and when it is done. Pure; all that it remembers is
 * the service's UpdateStatus and the tasks, so that a new leader goes on where the old one was. The words are Swarm's.
 *
 *   (none) → updating → completed
 *               │ too many failures, by the service's choice
 *               ├→ paused              the next update goes on
 *               └→ rollback started → rollback completed
 *                        └→ rollback paused
 */
import { create } from "@bufbuild/protobuf";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  UpdateFailureAction,
  UpdateState,
  type UpdateStatus,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { earliest } from "../loop.ts";
import { rolledBack, withoutPrevious } from "../service-spec.ts";
import { isOutdated, newestOf, type SlotContext, type SlotPlan } from "./plan-slot.ts";
import { type Trial, tryOf } from "./slot-trial.ts";
import {
  isPaused,
  isRollback,
  isUpdating,
  type UpdateSettings,
  updateSettings,
} from "./update-config.ts";

/** One slot as it is, and what it needs by itself. `K` names it: a number, or the node of a global service's task. */
export interface SlotNeed<K> {
  readonly slot: K;
  readonly tasks: readonly Task[];
  readonly plan: SlotPlan;
}

/** A slot whose old task is to be replaced now. */
interface Turn<K> {
  readonly slot: K;
  readonly serving: Task;
}

interface UpdatePlan<K> {
  /** The service, where there is news of its update. */
  readonly service: Service | undefined;
  readonly turns: readonly Turn<K>[];
  readonly startFirst: boolean;
  readonly wakeAtMs: number | undefined;
}

const nothing = { turns: [], startFirst: false, wakeAtMs: undefined };

/** `needs`: of all slots that the service keeps. */
export function planUpdate<K>(needs: readonly SlotNeed<K>[], context: SlotContext): UpdatePlan<K> {
  const { service, nowMs } = context;
  const begins = !isUpdating(service);
  if (begins) {
    if (isPaused(service) || !needs.some((need) => isBehind(need, context)))
      return { ...nothing, service: undefined };
  }
  const updating = begins ? begun(service, nowMs) : service;
  const plan = superviseSlots(needs, { ...context, service: updating });
  return begins ? { ...plan, service: plan.service ?? updating } : plan;
}

interface TriedSlot<K> extends SlotNeed<K> {
  readonly trial: Trial | undefined;
}

function superviseSlots<K>(needs: readonly SlotNeed<K>[], context: SlotContext): UpdatePlan<K> {
  const { service, nowMs } = context;
  const settings = updateSettings(service);
  const slots = needs.map((need) => ({ ...need, trial: tryOf(need.tasks, context, settings) }));
  const failed = failureOf(slots, settings);
  if (failed !== undefined) {
    return { ...nothing, service: afterFailure(service, failed, { settings, nowMs }) };
  }
  const unfinished = slots.filter((slot) => !isFinished(slot, nowMs));
  if (unfinished.length === 0) return { ...nothing, service: completed(service, nowMs) };
  const busy = slots.filter((slot) => isBusy(slot, settings, nowMs)).length;
  const free = Math.max(settings.parallelism - busy, 0);
  const turns = slots
    .flatMap(({ slot, plan }) =>
      plan.serving === undefined ? [] : [{ slot, serving: plan.serving }],
    )
    .slice(0, free);
  let wakeAtMs: number | undefined;
  for (const { trial } of slots) wakeAtMs = earliest(wakeAtMs, nextMs(trial, settings, nowMs));
  return { service: undefined, turns, startFirst: settings.startFirst, wakeAtMs };
}

/** The first failure, where there are more than may be. */
function failureOf(
  slots: readonly TriedSlot<unknown>[],
  settings: UpdateSettings,
): Failed | undefined {
  if (settings.failureAction === UpdateFailureAction.CONTINUE) return undefined;
  const failures = slots.flatMap(({ trial }) => (trial?.kind === "failed" ? [trial] : []));
  const all = slots.filter(({ trial, plan }) => trial !== undefined || plan.progress !== "settled");
  // The limit has a float's precision.
  const ratio = Math.fround(failures.length / all.length);
  return ratio > settings.failureRatioMax ? failures[0] : undefined;
}

type Failed = Extract<Trial, { readonly kind: "failed" }>;

/** Nothing is to be done for the slot any more, nor seen of it. */
function isFinished({ plan, trial }: TriedSlot<unknown>, nowMs: number): boolean {
  if (plan.progress === "outdated") return false;
  if (trial?.kind === "failed") return true;
  if (trial?.kind === "up") return nowMs >= trial.untilMs;
  return plan.progress === "settled";
}

/** Counts as one of those that may be under change at a time. */
function isBusy(
  { plan, trial }: TriedSlot<unknown>,
  { delayMs }: UpdateSettings,
  nowMs: number,
): boolean {
  if (plan.progress === "outdated") return false;
  if (trial?.kind === "failed") return nowMs < trial.sinceMs + delayMs;
  if (plan.progress === "unsettled") return true;
  return trial?.kind === "up" && nowMs < trial.sinceMs + delayMs;
}

/** When time alone changes something of it. */
function nextMs(trial: Trial | undefined, settings: UpdateSettings, nowMs: number) {
  if (trial === undefined) return undefined;
  const moments = [
    ...(trial.kind === "failed" ? [] : [trial.untilMs]),
    ...(trial.kind === "going" ? [] : [trial.sinceMs + settings.delayMs]),
  ];
  const coming = moments.filter((atMs) => atMs > nowMs && Number.isFinite(atMs));
  return coming.length === 0 ? undefined : Math.min(...coming);
}

/** After an update, only what runs counts: what it left behind, having failed, is its policy's matter. */
function isBehind({ tasks, plan }: SlotNeed<unknown>, context: SlotContext): boolean {
  if (plan.progress !== "unsettled") return plan.progress === "outdated";
  const newest = newestOf(tasks);
  const isOver = context.service.updateStatus !== undefined;
  return !isOver && newest !== undefined && isOutdated(newest, context);
}

function begun(service: Service, nowMs: number): Service {
  const updateStatus = create(UpdateStatusSchema, {
    state: UpdateState.UPDATING,
    startedAt: timestampFromMs(nowMs),
    message: "update in progress",
  });
  return { ...service, updateStatus };
}

function completed(service: Service, nowMs: number): Service {
  return isRollback(service)
    ? withStatus(service, {
        state: UpdateState.ROLLBACK_COMPLETED,
        completedAt: timestampFromMs(nowMs),
        message: "rollback completed",
      })
    : withStatus(service, {
        state: UpdateState.COMPLETED,
        completedAt: timestampFromMs(nowMs),
        message: "update completed",
      });
}

interface Judgement {
  readonly settings: UpdateSettings;
  readonly nowMs: number;
}

function afterFailure(service: Service, failed: Failed, { settings, nowMs }: Judgement): Service {
  const { id } = failed.task;
  const why = failed.reason === "" ? "" : `: ${failed.reason}`;
  const because = `due to failure or early termination of task ${id}${why}`;
  if (isRollback(service)) {
    const message = `rollback paused ${because}`;
    return withStatus(service, { state: UpdateState.ROLLBACK_PAUSED, message });
  }
  const { previousSpec } = service;
  if (settings.failureAction === UpdateFailureAction.ROLLBACK && previousSpec !== undefined) {
    const message = `update rolled back ${because}`;
    // As in Swarm: there is nothing left to go back to.
    return withoutPrevious(rolledBack(service, { spec: previousSpec, message, nowMs }));
  }
  const message = `update paused ${because}`;
  return withStatus(service, { state: UpdateState.PAUSED, message });
}

function withStatus(service: Service, change: Partial<UpdateStatus>): Service {
  const before = service.updateStatus ?? create(UpdateStatusSchema);
  return { ...service, updateStatus: { ...before, ...change } };
}
