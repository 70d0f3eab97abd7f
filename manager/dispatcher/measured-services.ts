/**
 * The services whose tasks nodes shall measure, because they are scaled by that, and what nodes say that these tasks use. A
 * node hears of those services alone of which it has tasks.
 */
import { create } from "@bufbuild/protobuf";
import { type TaskUsage, TaskUsageSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAssigned, isTerminal } from "../task.ts";

/** Nodes measure every 10 s, or so; a period that is much longer or shorter tells nothing. */
const periodMsMin = 1_000;
const periodMsMax = 600_000;

/** Where a node has not said how much it has: more than any has. */
const unknownCpus = 1_000_000n * 1_000_000_000n;
const unknownBytes = 1n << 60n;

export class MeasuredServices {
  readonly #view: View;
  readonly #ids = new Set<string>();

  constructor(view: View) {
    this.#view = view;
    for (const service of view.list("service")) if (isMeasured(service)) this.#ids.add(service.id);
  }

  has(serviceId: string): boolean {
    return this.#ids.has(serviceId);
  }

  /** Of the node's tasks. */
  idsFor(nodeId: string): ReadonlySet<string> {
    if (this.#ids.size === 0) return new Set();
    const tasks = this.#view.tasksOfNode(nodeId).filter((task) => isAssigned(task));
    return new Set(
      tasks
        .filter((task) => !isTerminal(task) && this.#ids.has(task.serviceId))
        .map(({ serviceId }) => serviceId),
    );
  }

  /** The service of which nodes may have to hear, and those nodes. */
  onChange(
    change: Change,
  ): { readonly serviceId: string; readonly nodeIds: readonly string[] } | undefined {
    if (change.kind === "service") return this.#onService(change.before, change.after);
    if (change.kind !== "task") return undefined;
    const { before, after } = change;
    if (after === undefined || after.nodeId === "" || !this.#ids.has(after.serviceId)) {
      return undefined;
    }
    if (before?.nodeId === after.nodeId) return undefined;
    return { serviceId: after.serviceId, nodeIds: [after.nodeId] };
  }

  #onService(before: Service | undefined, after: Service | undefined) {
    const serviceId = (after ?? before)?.id ?? "";
    const measured = after !== undefined && isMeasured(after);
    if (measured === this.#ids.has(serviceId)) return undefined;
    if (measured) this.#ids.add(serviceId);
    else this.#ids.delete(serviceId);
    const nodeIds = this.#view.tasksOfService(serviceId).map(({ nodeId }) => nodeId);
    return { serviceId, nodeIds: [...new Set(nodeIds)] };
  }

  /** What may be believed of what the node says: of its own tasks that are to be measured, within what it has. */
  accept(usages: readonly TaskUsage[], node: Node): readonly TaskUsage[] {
    const { nanoCpus = 0n, memoryBytes = 0n } = node.description?.resources ?? {};
    // Counters and clocks are not read in the same instant.
    const cpusMax = nanoCpus > 0n ? nanoCpus * 2n : unknownCpus;
    const bytesMax = memoryBytes > 0n ? memoryBytes : unknownBytes;
    return usages.flatMap(({ taskId, period, ...usage }) => {
      const task = this.#view.get("task", taskId);
      const periodMs = msFromDuration(period, 0);
      if (task === undefined || task.nodeId !== node.id || !this.has(task.serviceId)) return [];
      if (usage.nanoCpus > cpusMax || usage.memoryBytes > bytesMax) return [];
      if (!(periodMs >= periodMsMin && periodMs <= periodMsMax)) return [];
      const { serviceId } = task;
      const { nanoCpus: cpus, memoryBytes: bytes } = usage;
      const checked = { taskId, serviceId, nanoCpus: cpus, memoryBytes: bytes };
      return [create(TaskUsageSchema, { ...checked, period: durationFromMs(periodMs) })];
    });
  }
}

function isMeasured({ spec }: Service): boolean {
  return spec?.autoscale !== undefined && spec.mode.case === "replicated";
}
