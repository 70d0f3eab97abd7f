/**
 * What must hold at every moment. Commits are looked at once, as the first manager applies them; containers when they
 * start.
 */
import type { DescEnum } from "@bufbuild/protobuf";
import { wantedReplicas } from "#manager/service-spec.ts";
import type { Change } from "#manager/store/objects.ts";
import type { Commit, View } from "#manager/store/store.ts";
import { isAlive, isAssigned, isTerminal, isWanted, stateOf } from "#manager/task.ts";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeState,
  NodeStateSchema,
  TaskState,
  TaskStateSchema,
  UpdateOrder,
  UpdateState,
  UpdateStateSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Container } from "./containers.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import type { Trace } from "../trace.ts";
import { type CheckName, Violation } from "./violation.ts";

export class Checks {
  readonly #marks: Marks<MarkName>;
  readonly #trace: Trace;
  #checked = 0n;
  /** Services that ever had an update start first. */
  readonly #startedFirst = new Set<string>();
  /** When each node was last not READY, by the wall clock. */
  readonly #lostAtMs = new Map<string, number>();
  readonly #now: () => number;
  #failure: Violation | undefined;

  constructor(modules: {
    readonly marks: Marks<MarkName>;
    readonly trace: Trace;
    readonly now: () => number;
  }) {
    this.#marks = modules.marks;
    this.#trace = modules.trace;
    this.#now = modules.now;
  }

  /** The first promise that was broken. */
  get failure(): Violation | undefined {
    return this.#failure;
  }

  onManagerFailed(nodeId: string, thrown: unknown): void {
    const words = thrown instanceof Error ? thrown.message : String(thrown);
    this.#fail("the leader goes on", `manager ${nodeId} has failed: ${words}`, thrown);
  }

  onCommit({ index, changes }: Commit, view: View): void {
    if (index <= this.#checked) return;
    this.#checked = index;
    const services = new Set<string>();
    const nodes = new Set<string>();
    for (const change of changes) {
      this.#trace.add("commit", () => `${index} ${changeWords(change)}`);
      this.#count(change);
      if (change.kind === "node") this.#onNode(change);
      if (change.kind === "service" && change.after !== undefined) this.#mayOverlap(change.after);
      if (change.kind !== "task") continue;
      this.#checkGrowth(change);
      this.#checkPlace(change, view);
      const task = change.after ?? change.before;
      if (task === undefined) continue;
      services.add(task.serviceId);
      if (task.nodeId !== "") nodes.add(task.nodeId);
    }
    for (const serviceId of services) this.#checkService(serviceId, view);
    for (const nodeId of nodes) this.#checkNode(nodeId, view);
    if (services.size > 0) this.#checkAddresses(view);
  }

  /** Two of one slot run only where an update wants it so, or where one is on a host that was lost. */
  onStart(container: Container, others: Iterable<Container>, view: View | undefined): void {
    const { task } = container;
    const service = view?.get("service", task.serviceId);
    if (service === undefined || task.slot === 0n || this.#mayOverlap(service)) return;
    // It may be long replaced, and not have heard of it.
    if (isRemoved(task, view)) return;
    if (this.#wasLost(container.nodeId, msFromTimestamp(task.meta?.createdAt))) return;
    for (const other of others) {
      if (other.task.serviceId !== task.serviceId || other.task.slot !== task.slot) continue;
      if (
        isRemoved(other.task, view) ||
        this.#wasLost(other.nodeId, msFromTimestamp(other.task.meta?.createdAt))
      )
        continue;
      this.#fail(
        "one container per slot",
        `${words(task)} starts on ${container.nodeId} while ${words(other.task)} runs on ${other.nodeId}`,
      );
    }
  }

  /** Whether a slot may have an old and a new task side by side: those of an update that is long over may still end. */
  #mayOverlap({ id, spec }: Service): boolean {
    const orders = [spec?.update?.order, spec?.rollback?.order];
    if (orders.includes(UpdateOrder.START_FIRST)) this.#startedFirst.add(id);
    return this.#startedFirst.has(id);
  }

  #wasLost(nodeId: string, sinceMs: number): boolean {
    return (this.#lostAtMs.get(nodeId) ?? -1) >= sinceMs;
  }

  #fail(check: CheckName, message: string, cause?: unknown): void {
    this.#failure ??= new Violation(check, message, cause);
  }

  #onNode({ before, after }: Change & { readonly kind: "node" }): void {
    const id = (after ?? before)?.id ?? "";
    if (after?.status?.state !== NodeState.READY) this.#lostAtMs.set(id, this.#now());
    else if (before?.status?.state !== NodeState.READY) this.#lostAtMs.set(id, this.#now());
  }

  #checkGrowth({ before, after }: Change & { readonly kind: "task" }): void {
    if (before === undefined || after === undefined) return;
    const was = before.status;
    const is = after.status;
    const grows =
      (is?.attempt ?? 0) > (was?.attempt ?? 0) ||
      ((is?.attempt ?? 0) === (was?.attempt ?? 0) && stateOf(after) >= stateOf(before)) ||
      isTerminal(after);
    if (!grows || (isTerminal(before) && !isTerminal(after))) {
      this.#fail("states grow", `${words(before)} became ${words(after)}`);
    }
    if (after.desiredState < before.desiredState) {
      this.#fail(
        "states grow",
        `${words(after)}: desired ${before.desiredState} → ${after.desiredState}`,
      );
    }
  }

  /** When it is given its node; a limit that comes later moves nobody. */
  #checkPlace({ before, after }: Change & { readonly kind: "task" }, view: View): void {
    const max = Number(after?.spec?.placement?.maxReplicas ?? 0n);
    if (after === undefined || max === 0) return;
    if (!isAssigned(after) || (before !== undefined && isAssigned(before))) return;
    // Those of another spec may have come after it, and may be more.
    const isLikeIt = ({ serviceId, specVersion }: Task) =>
      serviceId === after.serviceId && specVersion?.index === after.specVersion?.index;
    const here = view
      .tasksOfNode(after.nodeId)
      .filter((task) => isLikeIt(task) && isWanted(task) && holds(task));
    if (here.length <= max) return;
    const message = `${here.length} on ${after.nodeId}, at most ${max} may: ${here.map(words).join("; ")}`;
    this.#fail("replicas per node are kept", message);
  }

  #checkService(serviceId: string, view: View): void {
    const service = view.get("service", serviceId);
    if (service === undefined) return;
    const wanted = view.tasksOfService(serviceId).filter((task) => isWanted(task) && isAlive(task));
    const onGoodNodes = wanted.filter(
      ({ nodeId }) => view.get("node", nodeId)?.status?.state === NodeState.READY,
    );
    if (service.spec?.mode.case === "replicated") {
      const most = this.#mayOverlap(service) ? 2 : 1;
      for (const [slot, tasks] of Map.groupBy(onGoodNodes, ({ slot }) => slot)) {
        if (tasks.length > most) {
          this.#fail("one task per slot", `slot ${slot}: ${tasks.map(words).join("; ")}`);
        }
      }
    }
    if (service.spec?.mode.case === "global") {
      const most = this.#mayOverlap(service) ? 2 : 1;
      for (const [nodeId, tasks] of Map.groupBy(wanted, (task) => task.nodeId)) {
        if (nodeId !== "" && tasks.length > most) {
          this.#fail("one task per node", `node ${nodeId}: ${tasks.map(words).join("; ")}`);
        }
      }
    }
  }

  #checkNode(nodeId: string, view: View): void {
    const capacity = view.get("node", nodeId)?.description?.resources?.memoryBytes ?? 0n;
    let reserved = 0n;
    for (const task of view.tasksOfNode(nodeId)) {
      if (!holds(task)) continue;
      reserved += task.spec?.resources?.reservations?.memoryBytes ?? 0n;
    }
    if (reserved > capacity) {
      this.#fail("reservations are kept", `${reserved} of ${capacity} bytes on ${nodeId}`);
    }
  }

  #checkAddresses(view: View): void {
    const owners = new Map<string, Task>();
    for (const task of view.list("task")) {
      if (!isAlive(task)) continue;
      for (const { network, addresses } of task.networks) {
        for (const address of addresses) {
          const key = `${network?.id} ${address}`;
          const other = owners.get(key);
          if (other !== undefined) {
            this.#fail("addresses are unique", `${address}: ${words(other)} and ${words(task)}`);
          }
          owners.set(key, task);
        }
      }
    }
    const ports = new Map<string, Service>();
    for (const service of view.list("service")) {
      for (const { publishedPort, protocol } of service.endpoint?.ports ?? []) {
        const key = `${publishedPort}/${protocol}`;
        const other = ports.get(key);
        if (other !== undefined && publishedPort !== 0) {
          this.#fail("ports are unique", `${key}: ${other.id} and ${service.id}`);
        }
        ports.set(key, service);
      }
    }
  }

  #count(change: Change): void {
    if (change.kind === "node") {
      const { before, after } = change;
      const isDown = after?.status?.state === NodeState.DOWN;
      if (isDown && before?.status?.state === NodeState.READY)
        this.#marks.add("nodes declared down");
    }
    if (change.kind === "service") {
      const state = change.after?.updateStatus?.state;
      if (state === change.before?.updateStatus?.state) return;
      if (state === UpdateState.CANARY) this.#marks.add("canaries waited");
      if (state === UpdateState.COMPLETED) this.#marks.add("updates completed");
      if (state === UpdateState.PAUSED) this.#marks.add("updates paused");
      if (state === UpdateState.ROLLBACK_COMPLETED) this.#marks.add("updates rolled back");
    }
    if (change.kind !== "task") return;
    const { before, after } = change;
    if (before === undefined) this.#marks.add("tasks made");
    if (after === undefined || before === undefined) return;
    if (isWanted(before) && !isWanted(after)) this.#marks.add("tasks replaced");
    const isNew = stateOf(before) !== stateOf(after);
    if (isNew && stateOf(after) === TaskState.COMPLETE) this.#marks.add("jobs' tasks completed");
    if (before.desiredMessage === "" && after.desiredMessage.includes("priority")) {
      this.#marks.add("tasks preempted");
    }
    const waits = stateOf(after) === TaskState.PENDING && after.status?.err !== "";
    if (waits && before.status?.err !== after.status?.err)
      this.#marks.add("tasks that had to wait");
  }
}

/** Of a slot or a job's run that is no more: nothing takes over from it. */
function isRemoved({ id }: Task, view: View | undefined): boolean {
  return (view?.get("task", id)?.desiredState ?? TaskState.REMOVE) >= TaskState.REMOVE;
}

/** Whether it has its place on its node. */
function holds(task: Task): boolean {
  return isAssigned(task) && !isTerminal(task);
}

function nameOf(schema: DescEnum, value = 0): string {
  return schema.value[value]?.localName ?? String(value);
}

export function words(task: Task): string {
  const { id, slot, nodeId, desiredState, status } = task;
  return `${id.slice(0, 6)} slot ${slot} ${nodeId} ${nameOf(TaskStateSchema, status?.state)} #${status?.attempt} desired ${nameOf(TaskStateSchema, desiredState)} spec ${task.specVersion?.index} ${status?.err}`;
}

function changeWords({ kind, before, after }: Change): string {
  const verb = before === undefined ? "creates" : after === undefined ? "removes" : "updates";
  if (kind === "task" && after !== undefined) return `${verb} task ${words(after)}`;
  if (kind === "service" && after !== undefined) {
    const { spec, specVersion, updateStatus } = after;
    const state = nameOf(UpdateStateSchema, updateStatus?.state);
    return `${verb} service ${spec?.annotations?.name} ×${wantedReplicas(after)} spec ${specVersion?.index} ${state} ${updateStatus?.message}`;
  }
  if (kind === "node" && after !== undefined) {
    return `${verb} ${after.id} ${nameOf(NodeStateSchema, after.status?.state)} availability ${after.spec?.availability}`;
  }
  return `${verb} ${kind} ${(after ?? before)?.id}`;
}
