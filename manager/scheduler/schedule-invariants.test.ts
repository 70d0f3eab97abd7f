/** What holds of any plan on any cluster. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  NodeState,
  PublishMode,
  SchedulingStrategy,
  TaskState,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";
import { isWanted, stateOf } from "../task.ts";
import { testNode, testTaskSpec } from "../testing/fixtures.ts";
import { countsOf, hostPortsOf, priorityOf } from "./needs.ts";
import { occupies } from "./node-load.ts";
import { openGround, pending, type ScheduleGround } from "./testing/schedule-ground.ts";

interface NodeShape {
  readonly state: "ready" | "down" | "pause" | "drain";
  readonly cpus: number;
  readonly gpus: number;
  readonly ssds: number;
  readonly zone: string;
}

interface ServiceShape {
  readonly replicas: number;
  readonly cpus: number;
  readonly gpus: number;
  readonly ssds: number;
  readonly perNodeMax: number;
  readonly hostPort: boolean;
  readonly zone: string;
  readonly spread: boolean;
  readonly priority: number;
}

const nodeShape: fc.Arbitrary<NodeShape> = fc.record({
  state: fc.constantFrom("ready", "ready", "ready", "ready", "down", "pause", "drain"),
  cpus: fc.nat(6),
  gpus: fc.nat(3),
  ssds: fc.nat(3),
  zone: fc.constantFrom("a", "b", ""),
});

const serviceShape: fc.Arbitrary<ServiceShape> = fc.record({
  replicas: fc.integer({ min: 1, max: 6 }),
  cpus: fc.nat(3),
  gpus: fc.constantFrom(0, 0, 1, 2),
  ssds: fc.constantFrom(0, 0, 1, 2),
  perNodeMax: fc.constantFrom(0, 0, 1, 2),
  hostPort: fc.boolean(),
  zone: fc.constantFrom("", "", "a", "b"),
  spread: fc.boolean(),
  priority: fc.nat(2),
});

const clusterShape = fc.record({
  nodes: fc.array(nodeShape, { minLength: 1, maxLength: 6 }),
  services: fc.array(serviceShape, { minLength: 1, maxLength: 6 }),
  strategy: fc.constantFrom(SchedulingStrategy.SPREAD, SchedulingStrategy.BINPACK),
  preemption: fc.boolean(),
});

function nodeOf(shape: NodeShape, number: number): Node {
  const availability = {
    ready: NodeAvailability.ACTIVE,
    down: NodeAvailability.ACTIVE,
    pause: NodeAvailability.PAUSE,
    drain: NodeAvailability.DRAIN,
  }[shape.state];
  const pieces = Array.from({ length: shape.gpus }, (_, index) => `gpu=u${index}`);
  const generic = [
    ...parseGenericResources(pieces),
    ...parseGenericResources([`ssd=${shape.ssds}`]),
  ];
  return testNode(number, {
    status: { state: shape.state === "down" ? NodeState.DOWN : NodeState.READY },
    spec: {
      availability,
      annotations: { labels: shape.zone === "" ? {} : { zone: shape.zone } },
    },
    description: { resources: { nanoCpus: BigInt(shape.cpus), memoryBytes: 0n, generic } },
  });
}

function tasksOf(shape: ServiceShape, service: number): readonly Task[] {
  const { cpus, gpus, ssds, perNodeMax, zone, spread, priority } = shape;
  const asked = [...(gpus > 0 ? [`gpu=${gpus}`] : []), ...(ssds > 0 ? [`ssd=${ssds}`] : [])];
  const preference = { case: "spread", value: { spreadDescriptor: "node.labels.zone" } } as const;
  const spec = testTaskSpec({
    priority,
    resources: {
      reservations: { nanoCpus: BigInt(cpus), generic: [...parseGenericResources(asked)] },
    },
    placement: {
      constraints: zone === "" ? [] : [`node.labels.zone==${zone}`],
      preferences: spread ? [{ preference }] : [],
      maxReplicas: BigInt(perNodeMax),
    },
  });
  const port = { targetPort: 80, publishedPort: 80, publishMode: PublishMode.HOST };
  return Array.from({ length: shape.replicas }, (_, index) =>
    pending(`s${service}-${index}`, {
      serviceId: `s${service}`,
      slot: BigInt(index + 1),
      spec,
      endpoint: { ports: shape.hostPort ? [port] : [] },
    }),
  );
}

/** Whether the node has room for one more, by adding up everything anew. */
function hasRoom(task: Task, node: Node, there: readonly Task[]): boolean {
  const all = [...there, task];
  const { resources } = node.description ?? {};
  const cpus = sum(all.map((one) => Number(one.spec?.resources?.reservations?.nanoCpus ?? 0n)));
  const ports = all.flatMap((one) => [...hostPortsOf(one)]);
  const has = countsOf(resources?.generic ?? []);
  const kinds = ["gpu", "ssd"].every((kind) => {
    const asked = all.map((one) => askedOf(one).get(kind) ?? 0);
    return asked.at(-1) === 0 || sum(asked) <= (has.get(kind) ?? 0);
  });
  const asksCpus = (task.spec?.resources?.reservations?.nanoCpus ?? 0n) > 0n;
  return (
    (!asksCpus || cpus <= Number(resources?.nanoCpus ?? 0n)) &&
    kinds &&
    (hostPortsOf(task).size === 0 || new Set(ports).size === ports.length)
  );
}

/** Whether the node is one that the service is for, and has not its share already. */
function isMeant(task: Task, node: Node, there: readonly Task[]): boolean {
  const placement = task.spec?.placement;
  const zone = placement?.constraints[0]?.replace("node.labels.zone==", "") ?? "";
  const siblings = there.filter(({ serviceId }) => serviceId === task.serviceId).length;
  const perNodeMax = Number(placement?.maxReplicas ?? 0n);
  return (
    node.status?.state === NodeState.READY &&
    node.spec?.availability === NodeAvailability.ACTIVE &&
    (zone === "" || node.spec.annotations?.labels["zone"] === zone) &&
    (perNodeMax === 0 || siblings < perNodeMax)
  );
}

function askedOf(task: Task): ReadonlyMap<string, number> {
  return countsOf(task.spec?.resources?.reservations?.generic ?? []);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function tasksOn({ store }: ScheduleGround, node: Node): readonly Task[] {
  return store.tasksOfNode(node.id).filter(occupies);
}

/** Every task that is there was allowed to go there after the others, and pieces are its alone. */
function checkNodes(ground: ScheduleGround): void {
  for (const node of ground.store.list("node")) {
    const tasks = tasksOn(ground, node);
    for (const task of tasks) {
      const others = tasks.filter((other) => other !== task);
      assert.ok(hasRoom(task, node, others), `${task.id} has no room on ${node.id}`);
      assert.ok(isMeant(task, node, others), `${task.id} is not meant for ${node.id}`);
      assert.deepEqual(countsOf(task.assignedGenericResources), askedOf(task));
    }
    const granted = tasks.flatMap((task) => task.assignedGenericResources);
    const pieces = granted.flatMap(({ resource }) =>
      resource.case === "named" ? [resource.value.value] : [],
    );
    assert.equal(new Set(pieces).size, pieces.length, `a piece twice on ${node.id}`);
  }
}

/** Whoever waits fits nowhere, but for room that is claimed by others of no lower priority. */
function checkBlocked(ground: ScheduleGround, blocked: Iterable<string>): void {
  const { store } = ground;
  for (const id of blocked) {
    const task = store.get("task", id);
    assert.ok(task !== undefined);
    assert.match(task.status?.err ?? "", /^(no suitable node|waits for room on)/);
    for (const node of store.list("node")) {
      const claims = store
        .list("task")
        .filter((one) => one.nominatedNodeId === node.id && one.id !== id)
        .filter((one) => priorityOf(one) >= priorityOf(task));
      const there = tasksOn(ground, node);
      const fits = isMeant(task, node, there) && hasRoom(task, node, [...there, ...claims]);
      assert.ok(!fits, `${id} waits, though ${node.id} suits it`);
    }
  }
}

test("No plan gives a node more than it has, or a task a node that is not for it; who waits has a reason", async () => {
  const property = fc.asyncProperty(clusterShape, async ({ nodes, services, ...settings }) => {
    const ground = await openGround({
      ...settings,
      nodes: nodes.map((one, n) => nodeOf(one, n + 1)),
    });
    for (const [index, shape] of services.entries()) {
      const tasks = tasksOf(shape, index);
      await ground.put("task", ...tasks);
      const { homes, blocked, rest } = await ground.round();
      assert.deepEqual(rest, []);
      for (const { id } of tasks) assert.ok(homes.has(id) !== blocked.has(id));
      checkNodes(ground);
      checkBlocked(ground, blocked.keys());
      assert.deepEqual((await ground.round()).actions, [], "a plan made again changes nothing");
    }
  });
  await fc.assert(property, { numRuns: 150 });
});

test("A plan cut into parts gets to every task, no fewer than one at a time", async () => {
  const effort = fc.integer({ min: 1, max: 60 });
  const property = fc.asyncProperty(clusterShape, effort, async (shape, effortMax) => {
    const { nodes, services, ...settings } = shape;
    const made = nodes.map((one, index) => nodeOf(one, index + 1));
    const ground = await openGround({ ...settings, nodes: made, effortMax });
    const tasks = services.flatMap(tasksOf);
    await ground.put("task", ...tasks);
    const seen = new Set<string>();
    const blocked = new Set<string>();
    for (let waiting = tasks; waiting.length > 0; ) {
      const part = ground.plan(waiting.flatMap(({ id }) => ground.store.get("task", id) ?? []));
      assert.ok(part.rest.length < waiting.length);
      await ground.store.write(() => part.actions);
      for (const id of [...part.homes.keys(), ...part.blocked.keys()]) seen.add(id);
      for (const id of part.blocked.keys()) blocked.add(id);
      waiting = [...part.rest];
    }
    assert.equal(seen.size, tasks.length);
    checkNodes(ground);
    checkBlocked(ground, blocked);
  });
  await fc.assert(property, { numRuns: 80 });
});

/** Ends one of those that were told to stop, and lets its service make another, as the orchestrator does. */
async function endOne({ store, put }: ScheduleGround, generation: number): Promise<boolean> {
  const stopping = store.list("task").filter((task) => occupies(task) && !isWanted(task));
  const task = stopping[generation % Math.max(stopping.length, 1)];
  if (task === undefined) return false;
  const { serviceId, slot, spec, endpoint } = task;
  await put("task", { ...task, status: ended });
  const next = pending(`${task.id}+${generation}`, { serviceId, slot });
  await put("task", { ...next, ...(spec && { spec }), ...(endpoint && { endpoint }) });
  return true;
}

const ended = create(TaskStatusSchema, { state: TaskState.SHUTDOWN });

/** Each victim is of lower priority and another service, and was needed: with it, there would be no room. */
function checkVictims(ground: ScheduleGround, before: readonly Task[]): void {
  const { store } = ground;
  const told = before.filter((task) => occupies(task) && isWanted(task));
  const victims = told.flatMap(({ id }) => {
    const task = store.get("task", id);
    return task === undefined || isWanted(task) ? [] : [task];
  });
  for (const victim of victims) {
    assert.match(victim.desiredMessage, /^preempted: gives way to .+ of priority \d+$/);
    const node = store.get("node", victim.nodeId);
    const claimers = store
      .list("task")
      .filter(({ nominatedNodeId }) => nominatedNodeId === node?.id);
    const above = claimers.filter((task) => priorityOf(task) > priorityOf(victim));
    assert.ok(above.length > 0, `${victim.id} gives way to nobody of higher priority`);
    assert.ok(above.some(({ serviceId }) => serviceId !== victim.serviceId));
    assert.ok(node !== undefined);
    const staying = tasksOn(ground, node).filter(isWanted);
    const needed = claimers.some((task) => {
      const others = claimers.filter((one) => one !== task);
      return !hasRoom(task, node, [...staying, ...others, victim]);
    });
    assert.ok(needed, `${victim.id} gives way, though there was room beside it`);
  }
}

test("Lower priorities give way, no more than needed, and it comes to an end with nobody above waiting for nobody below", async () => {
  const property = fc.asyncProperty(clusterShape, async ({ nodes, services, strategy }) => {
    const made = nodes.map((one, index) => nodeOf(one, index + 1));
    const ground = await openGround({ nodes: made, strategy, preemption: true });
    const inAscendingOrder = services.toSorted((a, b) => a.priority - b.priority);
    let generation = 0;
    for (const [index, shape] of inAscendingOrder.entries()) {
      await ground.put("task", ...tasksOf(shape, index));
      for (let quiet = false; !quiet; generation++) {
        assert.ok(generation < 500, "it never ends");
        const before = ground.store.list("task");
        const { actions } = await ground.round();
        checkNodes(ground);
        checkVictims(ground, before);
        quiet = !(await endOne(ground, generation)) && actions.length === 0;
      }
    }
    for (const task of ground.store.list("task")) {
      if (stateOf(task) === TaskState.PENDING) {
        assert.equal(task.nominatedNodeId, "", `${task.id} waits for tasks that are not there`);
        checkCannotPreempt(ground, task);
      }
    }
  });
  await fc.assert(property, { numRuns: 100 });
});

function checkCannotPreempt(ground: ScheduleGround, task: Task): void {
  for (const node of ground.store.list("node")) {
    const there = tasksOn(ground, node);
    const staying = there.filter(
      (one) => priorityOf(one) >= priorityOf(task) || one.serviceId === task.serviceId,
    );
    if (staying.length === there.length) continue;
    const fits = isMeant(task, node, there) && hasRoom(task, node, staying);
    assert.ok(!fits, `${task.id} waits, though lower priorities have its room on ${node.id}`);
  }
}
