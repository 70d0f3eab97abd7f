/** What a task asks of a node, read from its spec once for all tasks of its group: what fits one of them fits all. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type GenericResource, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { kindOf } from "#proto/generic-resource.ts";
import { type PortKey, portKey } from "../allocator/port-book.ts";
import {
  type Constraint,
  constraintProblem,
  findSpreadKey,
  readableConstraints,
  type ReadNode,
} from "./constraint.ts";
import { type WantedPlatforms, wantedPlatforms } from "./platform.ts";

/** What a node has less of for others while a task is there. */
export interface Reservation {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  /** How many of each kind of generic resource. */
  readonly generic: ReadonlyMap<string, number>;
  readonly hostPorts: ReadonlySet<PortKey>;
}

export interface Needs extends Reservation {
  readonly serviceId: string;
  readonly specVersion: bigint;
  readonly priority: number;
  readonly constraints: readonly Constraint[];
  /** What of its constraints this version cannot read: it is placed nowhere then. */
  readonly constraintProblem: string | undefined;
  readonly platforms: WantedPlatforms;
  /** How many tasks of the service a node takes. */
  readonly perNodeMax: number;
  /** Whether one of its networks is encrypted. */
  readonly encrypted: boolean;
  /** The labels over which the service spreads, the outermost first. */
  readonly spreadOver: readonly ReadNode[];
}

export function needsOf(task: Task): Needs {
  const placement = task.spec?.placement;
  const constraints = placement?.constraints ?? [];
  return {
    ...reservationOf(task),
    serviceId: task.serviceId,
    specVersion: task.specVersion?.index ?? 0n,
    priority: priorityOf(task),
    constraints: readableConstraints(constraints),
    constraintProblem: constraintProblem(constraints),
    platforms: wantedPlatforms(task.spec),
    perNodeMax: Number(placement?.maxReplicas ?? 0n) || Infinity,
    encrypted: task.networks.some(({ network }) => network?.spec?.encrypted === true),
    spreadOver: (placement?.preferences ?? []).flatMap(({ preference }) => {
      if (preference.case === undefined) return [];
      // A preference that this version cannot read is none: its tasks run all the same.
      const read = findSpreadKey(preference.value.spreadDescriptor);
      return read === undefined ? [] : [read];
    }),
  };
}

export function reservationOf(task: Task): Reservation {
  const reservations = task.spec?.resources?.reservations;
  return {
    nanoCpus: Number(reservations?.nanoCpus ?? 0n),
    memoryBytes: Number(reservations?.memoryBytes ?? 0n),
    generic: countsOf(reservations?.generic ?? []),
    hostPorts: hostPortsOf(task),
  };
}

export function priorityOf(task: Task): number {
  return task.spec?.priority ?? 0;
}

const none: ReadonlyMap<string, number> = new Map();

/** How many of each kind, named or counted. */
export function countsOf(generic: readonly GenericResource[]): ReadonlyMap<string, number> {
  if (generic.length === 0) return none;
  const counts = new Map<string, number>();
  for (const one of generic) {
    const { resource } = one;
    const count = resource.case === "discrete" ? Number(resource.value.value) : 1;
    counts.set(kindOf(one), (counts.get(kindOf(one)) ?? 0) + count);
  }
  return counts;
}

const noPorts: ReadonlySet<PortKey> = new Set();

/** The ports that it takes of its node. */
export function hostPortsOf({ endpoint }: Task): ReadonlySet<PortKey> {
  const ports = (endpoint?.ports ?? []).filter(
    ({ publishMode }) => publishMode === PublishMode.HOST,
  );
  return ports.length === 0 ? noPorts : new Set(ports.map(portKey));
}
