/**
 * An update with canaries: it changes a few slots, then waits for a word, a user's or its own, before it changes the
 * others. Pure. Which slots are the canaries is read off the tasks: those that have, or had, one of this update. The others
 * are held: what ends in one of them is made again as it was before the update.
 */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { UpdateState, type UpdateStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { isWanted } from "../task.ts";
import { isOfVersion, isOutdated, type SlotContext } from "./plan-slot.ts";
import type { SlotNeed, TriedSlot } from "./plan-update.ts";
import { awaitsPromotion, canariesMax, promoteAfterMs } from "./update-config.ts";

/** The slots that the update may not change yet. */
export function heldSlots<K>(needs: readonly SlotNeed<K>[], context: SlotContext): ReadonlySet<K> {
  if (!awaitsPromotion(context.service)) return new Set();
  const behind = needs.filter((need) => !isChanged(need, context));
  const canaries = needs.filter((need) => isCanary(need, context)).length;
  // By their order alone: a slot that is between its old task and its new one must not lose its turn to another.
  const held = behind.slice(Math.max(canariesMax(context.service) - canaries, 0));
  return new Set(held.map(({ slot }) => slot));
}

/** What the tasks of held slots are made from. Ports are the service's own: there is one endpoint for all. */
export function beforeUpdate(service: Service): Service {
  const { spec, previousSpec, previousSpecVersion } = service;
  if (spec === undefined || previousSpec?.task === undefined) return service;
  const { specVersion: _, ...kept } = service;
  return {
    ...kept,
    spec: { ...spec, task: previousSpec.task },
    ...(previousSpecVersion === undefined ? {} : { specVersion: previousSpecVersion }),
  };
}

function isCanary({ tasks }: SlotNeed<unknown>, context: SlotContext): boolean {
  return tasks.some((task) => isOfVersion(task, context.service) && !isOutdated(task, context));
}

/** It is as the update wants it, whoever made it so. */
function isChanged(need: SlotNeed<unknown>, context: SlotContext): boolean {
  return (
    isCanary(need, context) ||
    need.tasks.some((task) => isWanted(task) && !isOutdated(task, context))
  );
}

export interface CanaryNews {
  /** The service, where its canaries are of another state than it says. */
  readonly service: Service | undefined;
  readonly wakeAtMs: number | undefined;
}

export function planCanaries(
  slots: readonly TriedSlot<unknown>[],
  service: Service,
  nowMs: number,
): CanaryNews {
  const status = service.updateStatus;
  const canaries = slots.filter(({ held }) => !held);
  if (status === undefined || !canaries.every(isThrough)) {
    return { service: withoutWell(service), wakeAtMs: undefined };
  }
  // It takes back another one: all others are as it wants them.
  if (canaries.length === slots.length && canaries.some(({ trial }) => trial === undefined)) {
    return { service: promoted(service), wakeAtMs: undefined };
  }
  const wellAtMs = wellSinceMs(canaries, service);
  const afterMs = promoteAfterMs(service);
  const dueAtMs = wellAtMs === undefined || afterMs === undefined ? undefined : wellAtMs + afterMs;
  if (dueAtMs !== undefined && dueAtMs <= nowMs) {
    return { service: promoted(service), wakeAtMs: undefined };
  }
  const waits: Partial<UpdateStatus> = {
    state: UpdateState.CANARY,
    message: waitingWords(service, { changed: canaries.length, all: slots.length }),
    ...(wellAtMs === undefined ? {} : { canariesWellAt: timestampFromMs(wellAtMs) }),
  };
  const { canariesWellAt: known, ...kept } = status;
  const same =
    status.state === UpdateState.CANARY &&
    status.message === waits.message &&
    (known === undefined) === (wellAtMs === undefined) &&
    msFromTimestamp(known) === (wellAtMs ?? 0);
  const news = same ? undefined : { ...service, updateStatus: { ...kept, ...waits } };
  return { service: news, wakeAtMs: dueAtMs };
}

/** The service, its update going on with all slots. */
export function promoted(service: Service): Service {
  const { updateStatus } = service;
  if (updateStatus === undefined) return service;
  const change = { state: UpdateState.UPDATING, message: "update in progress", promoted: true };
  return { ...service, updateStatus: { ...updateStatus, ...change } };
}

/** It runs, or there is no more to be hoped for. */
function isThrough({ plan, trial }: TriedSlot<unknown>): boolean {
  return trial?.kind === "failed" || plan.progress === "settled";
}

/** undefined: one of them does not. */
function wellSinceMs(
  canaries: readonly TriedSlot<unknown>[],
  service: Service,
): number | undefined {
  let sinceMs = msFromTimestamp(service.updateStatus?.startedAt);
  for (const { plan, trial } of canaries) {
    if (plan.progress !== "settled" || trial?.kind === "failed") return undefined;
    if (trial?.kind === "up") sinceMs = Math.max(sinceMs, trial.sinceMs);
  }
  return sinceMs;
}

/** One of them has to start anew: the time that counts begins when it runs. */
function withoutWell(service: Service): Service | undefined {
  const { updateStatus } = service;
  if (updateStatus?.canariesWellAt === undefined) return undefined;
  const { canariesWellAt: _, ...kept } = updateStatus;
  return { ...service, updateStatus: kept };
}

function waitingWords(
  service: Service,
  { changed, all }: { readonly changed: number; readonly all: number },
): string {
  const name = service.spec?.annotations?.name ?? service.id;
  const afterMs = promoteAfterMs(service);
  const itself =
    afterMs === undefined
      ? ""
      : `; it goes on by itself after ${afterMs / 1000} s without a failure`;
  return `update waits with ${changed} of ${all} tasks changed: go on with "swarmctl service promote ${name}", or back with "swarmctl service rollback ${name}"${itself}`;
}
