/**
 * The update supervisor: whose turn it is, when an update has failed, and when it is done. Pure; all that it remembers is
 * the service's UpdateStatus and the tasks, so that a new leader goes on where the old one was. The words are Swarm's.
 *
 *   (none) → updating → completed
 *               │ ↑↓ canary      as many as may be without a promotion
 *               │ too many failures, by the service's choice
 *               ├→ paused              the next update goes on
 *               └→ rollback started → rollback completed
 *                        └→ rollback paused
 */
import { create } from "@bufbuild/protobuf";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  TaskState,
  UpdateFailureAction,
  UpdateState,
  type UpdateStatus,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { earliest } from "../loop.ts";
import { rolledBack, withoutPrevious } from "../service-spec.ts";
import { isTerminal, stateOf } from "../task.ts";
import { planCanaries } from "./plan-canaries.ts";
import { isLeaving, isOutdated, newestOf, type SlotContext, type SlotPlan } from "./plan-slot.ts";
import { type Trial, tryOf } from "./slot-trial.ts";
import {
  awaitsPromotion,
  isPaused,
  isRollback,
  isUpdating,
  moveSettings,
  type UpdateSettings,
  updateSettings,
} from "./update-config.ts";

/** One slot as it is, and what it needs by itself. `K` names it: a number, or the node of a global service's task. */
export interface SlotNeed<K> {
  readonly slot: K;
  readonly tasks: readonly Task[];
  readonly plan: SlotPlan;
  /** It keeps what was before the update until the canaries are promoted. */
  readonly held: boolean;
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

/** The service, with an update begun if there is one to begin. `needs`: of all slots that it keeps. */
export function beginUpdate(needs: readonly SlotNeed<unknown>[], context: SlotContext): Service {
  const { service, nowMs } = context;
  if (isUpdating(service) || isPaused(service)) return service;
  if (!needs.some((need) => isBehind(need, context))) return service;
  const updateStatus = create(UpdateStatusSchema, {
    state: UpdateState.UPDATING,
    startedAt: timestampFromMs(nowMs),
    message: "update in progress",
  });
  return { ...service, updateStatus };
}

/** `needs`: of all slots that the service keeps, those that wait for a promotion held. */
export function planUpdate<K>(needs: readonly SlotNeed<K>[], context: SlotContext): UpdatePlan<K> {
  const { service, nowMs } = context;
  if (!isUpdating(service)) return planMoves(needs, context);
  const settings = updateSettings(service);
  const slots = needs.map((need) => ({
    ...need,
    trial: need.held ? undefined : tryOf(need.tasks, context, settings),
  }));
  const tried = slots.filter(({ held }) => !held);
  const failed = failureOf(tried, settings);
  if (failed !== undefined) {
    return { ...nothing, service: afterFailure(service, failed, { settings, nowMs }) };
  }
  const news = awaitsPromotion(service)
    ? planCanaries(slots, service, nowMs)
    : { service: planEnd(tried, service, nowMs), wakeAtMs: undefined };
  const busy = slots.filter((slot) => isBusy(slot, settings, context)).length;
  let { wakeAtMs } = news;
  for (const { trial } of tried) wakeAtMs = earliest(wakeAtMs, nextMs(trial, settings, nowMs));
  return {
    service: news.service,
    turns: turnsOf(slots, settings.parallelism - busy, context),
    startFirst: settings.startFirst,
    wakeAtMs,
  };
}

const nothing = { turns: [], startFirst: false, wakeAtMs: undefined };

/** Without an update: what leaves its node goes in the order and at the pace of one. */
function planMoves<K>(needs: readonly SlotNeed<K>[], context: SlotContext): UpdatePlan<K> {
  const { parallelism, startFirst } = moveSettings(context.service);
  const busy = needs.filter((need) => isMoving(need, context)).length;
  const leaving = needs.filter(
    ({ plan }) => plan.serving !== undefined && isLeaving(plan.serving, context),
  );
  const turns = turnsOf(leaving, parallelism - busy, context);
  return { service: undefined, turns, startFirst, wakeAtMs: undefined };
}

function turnsOf<K>(
  needs: readonly SlotNeed<K>[],
  free: number,
  context: SlotContext,
): readonly Turn<K>[] {
  return needs
    .flatMap(({ slot, plan: { serving }, held }) =>
      serving === undefined || (held && !isLeaving(serving, context)) ? [] : [{ slot, serving }],
    )
    .slice(0, Math.max(free, 0));
}

/** Has lost its task to a move, or is about to, and has no other yet. Slots that wait for reasons of their own are not. */
export function isMoving({ plan, tasks }: SlotNeed<unknown>, context: SlotContext): boolean {
  return (
    plan.progress === "unsettled" &&
    tasks.some((task) => isLeaving(task, context) && !endedByItself(task))
  );
}

/** Nor has what takes over failed: that is the matter of the update's failure action, or of the restart policy. */
function isMovingWell(need: TriedSlot<unknown>, context: SlotContext): boolean {
  if (!isMoving(need, context)) return false;
  const leaving = need.tasks.filter((task) => isLeaving(task, context));
  const madeMs = Math.max(...leaving.map(createdAtMs));
  const failed = need.trial?.kind === "failed" ? need.trial.task : undefined;
  return !need.tasks.some(
    (task) =>
      createdAtMs(task) > madeMs &&
      (task === failed || endedByItself(task) || (task.status?.attempts ?? []).length > 0),
  );
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}

function endedByItself(task: Task): boolean {
  return isTerminal(task) && stateOf(task) !== TaskState.SHUTDOWN;
}

/** How the new task of a slot does; undefined: it has none yet, or none of the update's. */
export interface TriedSlot<K> extends SlotNeed<K> {
  readonly trial: Trial | undefined;
}

/** The service, if its update is done. */
function planEnd(
  slots: readonly TriedSlot<unknown>[],
  service: Service,
  nowMs: number,
): Service | undefined {
  return slots.every((slot) => isFinished(slot, nowMs)) ? completed(service, nowMs) : undefined;
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
  if (plan.progress === "due") return false;
  if (trial?.kind === "failed") return true;
  if (trial?.kind === "up") return nowMs >= trial.untilMs;
  return plan.progress === "settled";
}

/** Counts as one of those that may be under change at a time. */
function isBusy(
  slot: TriedSlot<unknown>,
  { delayMs }: UpdateSettings,
  context: SlotContext,
): boolean {
  const { plan, trial, held } = slot;
  if (isMovingWell(slot, context)) return true;
  if (held || plan.progress === "due") return false;
  if (trial?.kind === "failed") return context.nowMs < trial.sinceMs + delayMs;
  if (plan.progress === "unsettled") return true;
  return trial?.kind === "up" && context.nowMs < trial.sinceMs + delayMs;
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
  if (plan.serving !== undefined) return isOutdated(plan.serving, context);
  const newest = newestOf(tasks);
  const isOver = context.service.updateStatus !== undefined;
  const unsettled = plan.progress === "unsettled";
  return unsettled && !isOver && newest !== undefined && isOutdated(newest, context);
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
