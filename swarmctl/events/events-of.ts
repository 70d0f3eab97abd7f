/**
 * What happened, in Docker's words where Docker has them: events of one change of an object, from what it was before and what
 * it is after. Pure. Secrets and configs are named, never shown.
 */
import type {
  Cluster,
  Config,
  Node,
  Secret,
  Service,
  Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  NodeRole,
  type Network,
  SchedulingStrategy,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { wordOf } from "../output/enum-words.ts";
import { managerWord, stateWord } from "../node/words.ts";
import {
  type Aspect,
  changedAspects,
  type HappenedEvent,
  type Kind,
  labelsWord,
  type Pair,
  type WatchedObject,
} from "./event.ts";
import { serviceEvents } from "./service-events.ts";
import { taskEvents } from "./task-events.ts";

/** Why an object is at all: its state before and after; one of both is there. */
export interface Change {
  readonly before?: WatchedObject | undefined;
  readonly after?: WatchedObject | undefined;
}

export function eventsOf({ before, after }: Change): readonly HappenedEvent[] {
  const kind = (after ?? before)?.case;
  switch (kind) {
    case "service":
      return serviceEvents(pairOf<Service>(before, after));
    case "task":
      return taskEvents(pairOf<Task>(before, after));
    case "node":
      return plainEvents(kind, nodeAspects, nodeName, pairOf<Node>(before, after));
    case "network":
      return plainEvents(kind, [], networkName, pairOf<Network>(before, after));
    case "secret":
      return plainEvents(kind, [labelsAspect], named, pairOf<Secret>(before, after));
    case "config":
      return plainEvents(kind, [labelsAspect], named, pairOf<Config>(before, after));
    case "cluster":
      return plainEvents(kind, clusterAspects, named, pairOf<Cluster>(before, after));
    case undefined:
      return [];
  }
}

// The objects of one change are of one kind.
function pairOf<T>(before: WatchedObject | undefined, after: WatchedObject | undefined): Pair<T> {
  return { before: before?.value as T | undefined, after: after?.value as T | undefined };
}

/** Creation, removal, and updates that say which of the aspects changed. */
function plainEvents<T extends { readonly id: string }>(
  type: Kind,
  aspects: readonly Aspect<T>[],
  nameOf: (object: T) => string,
  { before, after }: Pair<T>,
): readonly HappenedEvent[] {
  const object = after ?? before;
  if (object === undefined) return [];
  const name = { name: nameOf(object) };
  if (before === undefined) return [{ type, action: "create", id: object.id, attributes: name }];
  if (after === undefined) return [{ type, action: "remove", id: object.id, attributes: name }];
  const changes = changedAspects(aspects, before, after);
  // What else changes is the managers' own bookkeeping: a session, an address, a key's renewal.
  if (Object.keys(changes).length === 0) return [];
  return [{ type, action: "update", id: object.id, attributes: { ...name, ...changes } }];
}

const nodeAspects: readonly Aspect<Node>[] = [
  ["state", ({ status }) => stateWord(status).toLowerCase()],
  ["availability", ({ spec }) => wordOf(NodeAvailability, spec?.availability ?? 0)],
  ["role", ({ role }) => wordOf(NodeRole, role)],
  ["desired_role", ({ spec }) => wordOf(NodeRole, spec?.desiredRole ?? 0)],
  ["manager", ({ managerStatus }) => managerWord(managerStatus).toLowerCase()],
  ["labels", ({ spec }) => labelsWord(spec?.annotations?.labels)],
  ["message", ({ status }) => status?.message ?? ""],
];

const labelsAspect: Aspect<Secret | Config> = [
  "labels",
  ({ spec }) => labelsWord(spec?.annotations?.labels),
];

const clusterAspects: readonly Aspect<Cluster>[] = [
  ["autolock", ({ spec }) => String(spec?.encryption?.autoLockManagers ?? false)],
  ["scheduling", ({ spec }) => wordOf(SchedulingStrategy, spec?.scheduling?.strategy ?? 0)],
  ["preemption", ({ spec }) => String(spec?.scheduling?.preemption ?? false)],
  ["auto_rebalance", ({ spec }) => String(spec?.scheduling?.autoRebalance ?? false)],
  ["root", ({ rootCa }) => rootCa?.caCertHash ?? ""],
  ["root_rotation", ({ rootCa }) => (rootCa?.rootRotation === undefined ? "" : "running")],
];

function nodeName({ id, description }: Node): string {
  return description?.hostname || id;
}

function networkName({ id, spec }: Network): string {
  return spec?.annotations?.name || id;
}

function named({ id, spec }: Secret | Config | Cluster): string {
  return spec?.annotations?.name || id;
}
