/**
 * Which tasks a node must give up because it is not any more what they ask for: its labels changed, or it has less to
 * reserve. Pure. They are told to stop, and their orchestrator makes up for them, as for those of a drained node.
 *
 * As in Swarm only nodes that are active are looked at, and what counts is what the service asks for now.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { meetsConstraints, readableConstraints } from "../scheduler/constraint.ts";
import { countsOf, reservationOf } from "../scheduler/needs.ts";
import { runsAnyOf, wantedPlatforms } from "../scheduler/platform.ts";
import type { View } from "../store/store.ts";
import { isAssigned, isTerminal, isWanted } from "../task.ts";

interface Misfit {
  readonly task: Task;
  /** For users, too. */
  readonly reason: string;
}

export function findMisfits(node: Node, view: View): readonly Misfit[] {
  const availability = node.spec?.availability ?? NodeAvailability.ACTIVE;
  if (availability !== NodeAvailability.ACTIVE || node.status?.state !== NodeState.READY) return [];
  const free = freeOf(node);
  const misfits: Misfit[] = [];
  const tasks = view.tasksOfNode(node.id).filter(holdsPlace).toSorted(byAge);
  for (const task of tasks) {
    const reason = unmetBy(task, node, view) ?? (free && take(task, free));
    if (reason !== undefined) misfits.push({ task, reason });
  }
  return misfits;
}

function holdsPlace(task: Task): boolean {
  return isWanted(task) && isAssigned(task) && !isTerminal(task);
}

/** Those that came first stay. */
function byAge(a: Task, b: Task): number {
  const [aAt, bAt] = [a.meta?.createdAt?.seconds ?? 0n, b.meta?.createdAt?.seconds ?? 0n];
  return Number(aAt - bAt) || (a.id < b.id ? -1 : 1);
}

function unmetBy(task: Task, node: Node, view: View): string | undefined {
  const spec = view.get("service", task.serviceId)?.spec?.task ?? task.spec;
  const constraints = readableConstraints(spec?.placement?.constraints ?? []);
  const unmet = constraints.find((constraint) => !meetsConstraints(node, [constraint]));
  if (unmet !== undefined) return `its node does not meet ${unmet.text} any more`;
  return runsAnyOf(node, wantedPlatforms(spec)) ? undefined : "its node is of another platform now";
}

interface Free {
  nanoCpus: number;
  memoryBytes: number;
  readonly generic: Map<string, number>;
}

/** undefined: it does not say what it has, and so has lost nothing. */
function freeOf({ description }: Node): Free | undefined {
  const resources = description?.resources;
  return (
    resources && {
      nanoCpus: Number(resources.nanoCpus),
      memoryBytes: Number(resources.memoryBytes),
      generic: new Map(countsOf(resources.generic)),
    }
  );
}

/** Gives the task what it reserves, or says what there is too little of. */
function take(task: Task, free: Free): string | undefined {
  const { nanoCpus, memoryBytes, generic } = reservationOf(task);
  if (nanoCpus > Math.max(free.nanoCpus, 0)) return "its node has not enough CPUs any more";
  if (memoryBytes > Math.max(free.memoryBytes, 0)) return "its node has not enough memory any more";
  for (const [kind, count] of generic) {
    if (count > (free.generic.get(kind) ?? 0)) return `its node has not enough ${kind} any more`;
  }
  free.nanoCpus -= nanoCpus;
  free.memoryBytes -= memoryBytes;
  for (const [kind, count] of generic)
    free.generic.set(kind, (free.generic.get(kind) ?? 0) - count);
  return undefined;
}
