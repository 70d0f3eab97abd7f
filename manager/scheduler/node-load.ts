/**
 * What every node carries, folded from commits: tasks, reservations, recent failures. A task counts from its assignment
 * until it has ended. Invariant: after each commit it equals what a scan of the store would give, but for failures of
 * tasks that history has dropped.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { PublishMode, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { type PortKey, portKey } from "../allocator/port-book.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAlive, stateOf } from "../task.ts";

/** This many failures of a service's version within the window make a node the last resort for it. */
export const failuresMax = 5;
export const failureWindowMs = 300_000;

export interface Reservation {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
}

export interface NodeLoad {
  readonly nodeId: string;
  readonly tasks: number;
  readonly tasksByService: ReadonlyMap<string, number>;
  readonly reserved: Reservation;
  /** Ports of mode host, and how many tasks have each: more than one only while one of them is stopping. */
  readonly hostPorts: ReadonlyMap<PortKey, number>;
  /** The last failures of a service's tasks here, at most `failuresMax`. */
  readonly failures: ReadonlyMap<string, Failures>;
}

interface Failures {
  readonly specVersion: bigint;
  readonly atMs: readonly number[];
}

interface MutableLoad extends NodeLoad {
  tasks: number;
  readonly tasksByService: Map<string, number>;
  reserved: Reservation;
  readonly hostPorts: Map<PortKey, number>;
  readonly failures: Map<string, Failures>;
}

export class NodeLoads {
  readonly #loads = new Map<string, MutableLoad>();

  constructor(view: View) {
    for (const task of view.list("task")) this.#onTask(undefined, task);
  }

  of(nodeId: string): NodeLoad {
    return this.#loads.get(nodeId) ?? emptyLoad(nodeId);
  }

  onChange(change: Change): void {
    if (change.kind === "task") this.#onTask(change.before, change.after);
    if (change.kind === "service" && change.after === undefined && change.before !== undefined) {
      for (const load of this.#loads.values()) load.failures.delete(change.before.id);
    }
    if (change.kind === "node" && change.after === undefined && change.before !== undefined) {
      this.#loads.get(change.before.id)?.failures.clear();
    }
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    if (before !== undefined && occupies(before)) this.#count(before, -1);
    if (after !== undefined && occupies(after)) this.#count(after, 1);
    if (after !== undefined && hasFailed(after) && (before === undefined || !hasFailed(before))) {
      this.#fail(after);
    }
  }

  #count(task: Task, sign: 1 | -1): void {
    const load = this.#load(task.nodeId);
    const { nanoCpus, memoryBytes } = reservationOf(task);
    load.tasks += sign;
    load.reserved = {
      nanoCpus: load.reserved.nanoCpus + sign * nanoCpus,
      memoryBytes: load.reserved.memoryBytes + sign * memoryBytes,
    };
    const count = (load.tasksByService.get(task.serviceId) ?? 0) + sign;
    if (count > 0) load.tasksByService.set(task.serviceId, count);
    else load.tasksByService.delete(task.serviceId);
    for (const port of hostPortsOf(task)) {
      const users = (load.hostPorts.get(port) ?? 0) + sign;
      if (users > 0) load.hostPorts.set(port, users);
      else load.hostPorts.delete(port);
    }
    if (load.tasks === 0 && load.failures.size === 0) this.#loads.delete(task.nodeId);
  }

  #fail(task: Task): void {
    if (task.serviceId === "") return;
    const { failures } = this.#load(task.nodeId);
    const specVersion = task.specVersion?.index ?? 0n;
    const known = failures.get(task.serviceId);
    const atMs = [...(known?.specVersion === specVersion ? known.atMs : []), ...failureTimes(task)];
    failures.set(task.serviceId, {
      specVersion,
      atMs: atMs.toSorted((a, b) => a - b).slice(-failuresMax),
    });
  }

  #load(nodeId: string): MutableLoad {
    let load = this.#loads.get(nodeId);
    if (load === undefined) this.#loads.set(nodeId, (load = emptyLoad(nodeId)));
    return load;
  }
}

export function reservationOf(task: Task): Reservation {
  const reservations = task.spec?.resources?.reservations;
  return {
    nanoCpus: Number(reservations?.nanoCpus ?? 0n),
    memoryBytes: Number(reservations?.memoryBytes ?? 0n),
  };
}

/** The ports that it takes of its node. */
export function hostPortsOf({ endpoint }: Task): ReadonlySet<PortKey> {
  const ports = endpoint?.ports ?? [];
  return new Set(ports.filter(({ publishMode }) => publishMode === PublishMode.HOST).map(portKey));
}

/** What a node offers. Undescribed nodes offer nothing that could be reserved. */
export function capacityOf(node: Node): Reservation {
  return {
    nanoCpus: Number(node.description?.resources?.nanoCpus ?? 0n),
    memoryBytes: Number(node.description?.resources?.memoryBytes ?? 0n),
  };
}

/** Whether the service's version failed so often here of late that another node should be tried. */
export function keepsFailing(load: NodeLoad, task: Task, nowMs: number): boolean {
  const failures = load.failures.get(task.serviceId);
  if (failures === undefined || failures.specVersion !== (task.specVersion?.index ?? 0n))
    return false;
  return failures.atMs.filter((atMs) => atMs > nowMs - failureWindowMs).length >= failuresMax;
}

function emptyLoad(nodeId: string): MutableLoad {
  return {
    nodeId,
    tasks: 0,
    tasksByService: new Map(),
    reserved: { nanoCpus: 0, memoryBytes: 0 },
    hostPorts: new Map(),
    failures: new Map(),
  };
}

function occupies(task: Task): boolean {
  return task.nodeId !== "" && isAlive(task) && stateOf(task) <= TaskState.RUNNING;
}

function hasFailed(task: Task): boolean {
  const state = stateOf(task);
  return task.nodeId !== "" && (state === TaskState.FAILED || state === TaskState.REJECTED);
}

/** Every restart in place was a failure, too. */
function failureTimes(task: Task): readonly number[] {
  const { status } = task;
  const earlier = (status?.attempts ?? []).filter(({ number }) => number !== status?.attempt);
  return [
    ...earlier.map(({ endedAt }) => msFromTimestamp(endedAt)),
    msFromTimestamp(status?.timestamp),
  ];
}
