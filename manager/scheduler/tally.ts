/**
 * What tasks hold of a node, added up. A task holds it from its assignment until it has ended. Invariant: nothing is kept
 * of a task that was added and taken away again, so that equal tallies look equal.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { GenericResource } from "#proto/gen/swarm/v1/types_pb.ts";
import { kindOf } from "#proto/generic-resource.ts";
import type { PortKey } from "../allocator/port-book.ts";
import { isTerminal, isWanted } from "../task.ts";
import { hostPortsOf, priorityOf } from "./needs.ts";

export interface Holding {
  readonly serviceId: string;
  /** Not told to stop: counts where tasks are to be spread evenly. */
  readonly wanted: boolean;
  readonly priority: number;
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly hostPorts: ReadonlySet<PortKey>;
  readonly granted: readonly GenericResource[];
}

export interface ServiceTally {
  readonly wanted: number;
  /** Those that stop, too. */
  readonly present: number;
}

const absent: ServiceTally = { wanted: 0, present: 0 };

export class Tally {
  /** All that hold something. */
  holders = 0;
  /** Those of them that are wanted. */
  tasks = 0;
  nanoCpus = 0;
  memoryBytes = 0;
  readonly services = new Map<string, ServiceTally>();
  /** More than one task has a port only while one of them stops. */
  readonly hostPorts = new Map<PortKey, number>();
  /** Of counted kinds, how many; of named ones, how many tasks have the piece "gpu=UUID1". */
  readonly generic = new Map<string, number>();
  /** How many tasks there are of each priority. */
  readonly priorities = new Map<number, number>();

  ofService(serviceId: string): ServiceTally {
    return this.services.get(serviceId) ?? absent;
  }

  countOf(kind: string): number {
    return this.generic.get(kind) ?? 0;
  }

  usersOfPiece(kind: string, name: string): number {
    return this.generic.get(pieceKey(kind, name)) ?? 0;
  }

  usersOfPort(port: PortKey): number {
    return this.hostPorts.get(port) ?? 0;
  }

  /** Whether there is a task of lower priority. */
  hasBelow(priority: number): boolean {
    for (const one of this.priorities.keys()) if (one < priority) return true;
    return false;
  }

  add(holding: Holding, sign: 1 | -1): void {
    this.holders += sign;
    this.nanoCpus += sign * holding.nanoCpus;
    this.memoryBytes += sign * holding.memoryBytes;
    const wanted = holding.wanted ? sign : 0;
    this.tasks += wanted;
    this.#addService(holding.serviceId, wanted, sign);
    bump(this.priorities, holding.priority, sign);
    for (const port of holding.hostPorts) bump(this.hostPorts, port, sign);
    for (const one of holding.granted) this.#addGeneric(one, sign);
  }

  #addService(serviceId: string, wanted: number, present: number): void {
    const before = this.ofService(serviceId);
    const after = { wanted: before.wanted + wanted, present: before.present + present };
    if (after.present === 0 && after.wanted === 0) this.services.delete(serviceId);
    else this.services.set(serviceId, after);
  }

  #addGeneric(one: GenericResource, sign: 1 | -1): void {
    const { resource } = one;
    if (resource.case === "named") {
      bump(this.generic, pieceKey(kindOf(one), resource.value.value), sign);
    } else if (resource.case === "discrete") {
      bump(this.generic, kindOf(one), sign * Number(resource.value.value));
    }
  }
}

export function holdingOf(task: Task): Holding {
  const reservations = task.spec?.resources?.reservations;
  return {
    serviceId: task.serviceId,
    wanted: isWanted(task) && !isTerminal(task),
    priority: priorityOf(task),
    nanoCpus: Number(reservations?.nanoCpus ?? 0n),
    memoryBytes: Number(reservations?.memoryBytes ?? 0n),
    hostPorts: hostPortsOf(task),
    granted: task.assignedGenericResources,
  };
}

/** No kind has "=" in its name. */
function pieceKey(kind: string, name: string): string {
  return `${kind}=${name}`;
}

function bump<K>(counts: Map<K, number>, key: K, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
