import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type Driver,
  DriverSchema,
  NodeAvailability,
  NodeState,
  RestartCondition,
  TaskState,
  UpdateState,
  type UpdateStatus,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { isTerminal, isWanted } from "../task.ts";
import { testNode, testService, testTask, testTaskSpec } from "../testing/fixtures.ts";
import type { ServicePlan } from "./plan-places.ts";
import { planService } from "./plan-replicated.ts";
import { sameSpec } from "./same-spec.ts";

const nowMs = 1_700_000_000_000;
const nodes = [testNode(1), testNode(2), testNode(3)];

interface Situation {
  readonly service?: Service;
  readonly tasks?: readonly Task[];
  readonly nodes?: readonly Node[];
  readonly atMs?: number;
  readonly logDriver?: Driver;
}

interface Planned extends ServicePlan {
  readonly said: readonly string[];
  readonly update: UpdateStatus | undefined;
}

function plan(situation: Situation): Planned {
  let made = 0;
  const tasks = situation.tasks ?? [];
  const outcome = planService({
    service: situation.service ?? testService(),
    slots: Map.groupBy(tasks, (task) => Number(task.slot)),
    node: (id) => (situation.nodes ?? nodes).find((node) => node.id === id),
    sameSpec,
    nowMs: situation.atMs ?? nowMs,
    newTaskId: () => `new${++made}`,
    logDriver: situation.logDriver,
  });
  const said = outcome.actions.flatMap((action) => describe(action));
  const [first] = outcome.actions;
  const update = first?.kind === "service" ? first.object.updateStatus : undefined;
  return { ...outcome, said, update };
}

function describe({ action, kind, object }: ServicePlan["actions"][number]): string[] | string {
  if (kind === "service") return [];
  assert.ok(kind === "task");
  if (action === "create") return `create ${object.slot}`;
  return `${object.desiredState === TaskState.REMOVE ? "remove" : "stop"} ${object.id}`;
}

function running(slot: number, init: Parameters<typeof testTask>[1] = {}): Task {
  const status = { state: TaskState.RUNNING, attempt: 1 };
  return testTask(`t${slot}`, {
    slot: BigInt(slot),
    nodeId: "node1",
    status,
    atMs: nowMs,
    ...init,
  });
}

function failed(slot: number, init: Parameters<typeof testTask>[1] = {}): Task {
  return running(slot, { status: { state: TaskState.FAILED, attempt: 1 }, ...init });
}

test("A new task has its service's log driver, or else the cluster's", () => {
  const driverOf = (service: Service) => {
    const [first] = plan({ service, logDriver: create(DriverSchema, { name: "syslog" }) }).actions;
    assert.ok(first?.kind === "task");
    return first.object.logDriver?.name;
  };
  const service = testService();
  assert.equal(driverOf(service), "syslog");
  assert.ok(service.spec?.task);
  service.spec.task.logDriver = create(DriverSchema, { name: "journald" });
  assert.equal(driverOf(service), "journald");
});

test("A new service gets its slots from 1, each task complete", () => {
  const service = testService({ replicas: 3, version: 7 });
  const { said, actions } = plan({ service });
  assert.deepEqual(said, ["create 1", "create 2", "create 3"]);
  const [first] = actions;
  assert.ok(first?.kind === "task");
  const { object } = first;
  assert.equal(object.annotations?.name, "web.1.new1");
  assert.equal(object.serviceAnnotations?.name, "web");
  assert.equal(object.specVersion?.index, 7n);
  assert.equal(object.desiredState, TaskState.RUNNING);
  assert.equal(object.status?.state, TaskState.NEW);
  assert.equal(object.spec, service.spec?.task);
});

test("Scaling up fills the lowest free slots and touches no other", () => {
  const tasks = [running(2), running(5)];
  assert.deepEqual(plan({ service: testService({ replicas: 4 }), tasks }).said, [
    "create 1",
    "create 3",
  ]);
});

test("Scaling down gives up what does not run, then the fullest nodes' tasks, then the higher slots", () => {
  const tasks = [
    running(1),
    running(2),
    running(3, { nodeId: "node2" }),
    running(4),
    running(5, { status: { state: TaskState.PENDING }, nodeId: "" }),
    running(6, { nodeId: "node3" }),
  ];
  const order = ["remove t5", "remove t4", "remove t2", "remove t6", "remove t3", "remove t1"];
  for (let replicas = 0; replicas <= 6; replicas++) {
    const { said } = plan({ service: testService({ replicas }), tasks });
    assert.deepEqual(said, order.slice(0, 6 - replicas));
  }
});

test("Scaling down gives up what is on nodes that take no tasks before what may stay", () => {
  const tasks = [
    running(1),
    running(2, { nodeId: "node2" }),
    running(3),
    running(4, { nodeId: "node3" }),
    running(5, { status: { state: TaskState.PENDING }, nodeId: "" }),
  ];
  const paused = testNode(2, { spec: { availability: NodeAvailability.PAUSE } });
  const drained = testNode(3, { spec: { availability: NodeAvailability.DRAIN } });
  const order = ["remove t5", "remove t4", "remove t2", "remove t3", "remove t1"];
  for (let replicas = 0; replicas <= 4; replicas++) {
    const service = testService({ replicas });
    const { said } = plan({ service, tasks, nodes: [testNode(1), paused, drained] });
    const removed = said.filter((one) => one.startsWith("remove"));
    assert.deepEqual(removed, order.slice(0, 5 - replicas));
  }
});

test("A slot that is given up goes with its history", () => {
  const dead = failed(1, { desiredState: TaskState.SHUTDOWN });
  const tasks = [{ ...dead, id: "old" }, running(1)];
  const { said } = plan({ service: testService({ replicas: 0 }), tasks });
  assert.deepEqual(said, ["remove old", "remove t1"]);
});

test("A task that ended is stopped at once and replaced after the delay", () => {
  const first = plan({ tasks: [failed(1)] });
  assert.deepEqual(first.said, ["stop t1"]);
  assert.equal(first.wakeAtMs, nowMs + 5_000);
  const stopped = failed(1, { desiredState: TaskState.SHUTDOWN });
  const early = plan({ tasks: [stopped], atMs: nowMs + 4_999 });
  assert.deepEqual([early.said, early.wakeAtMs], [[], nowMs + 5_000]);
  assert.deepEqual(plan({ tasks: [stopped], atMs: nowMs + 5_000 }).said, ["create 1"]);
});

test("With delay 0 a task that ended is replaced in the same transaction", () => {
  const restart = { condition: RestartCondition.ANY, delay: durationFromMs(0) };
  const service = testService({ task: { restart } });
  const tasks = [failed(1, { spec: testTaskSpec({ restart }) })];
  assert.deepEqual(plan({ service, tasks }).said, ["stop t1", "create 1"]);
});

test("A task that is not to be restarted keeps its slot, which is not filled again", () => {
  const restart = { condition: RestartCondition.NONE };
  const service = testService({ task: { restart } });
  const ended = failed(1, { spec: testTaskSpec({ restart }) });
  assert.deepEqual(plan({ service, tasks: [ended] }).said, ["stop t1"]);
  const stopped = { ...ended, desiredState: TaskState.SHUTDOWN };
  const later = plan({ service, tasks: [stopped], atMs: nowMs + 1e9 });
  assert.deepEqual([later.said, later.wakeAtMs], [[], undefined]);
});

const lost: readonly (readonly [string, readonly Node[]])[] = [
  ["is DOWN", [testNode(1, { status: { state: NodeState.DOWN } })]],
  ["is gone", []],
];
for (const [name, present] of lost) {
  test(`A task whose node ${name} is replaced at once, and says why`, () => {
    const { said, actions } = plan({ tasks: [running(1)], nodes: present });
    assert.deepEqual(said, ["stop t1", "create 1"]);
    const [stop] = actions;
    assert.equal(stop?.kind === "task" && stop.object.desiredMessage, "its node is down");
  });
  test(`A task of condition none whose node ${name} is not replaced`, () => {
    const restart = { condition: RestartCondition.NONE };
    const service = testService({ task: { restart } });
    const tasks = [running(1, { spec: testTaskSpec({ restart }) })];
    assert.deepEqual(plan({ service, tasks, nodes: present }).said, ["stop t1"]);
  });
}

test("A task whose node is drained is stopped first, and replaced the moment that it has", () => {
  const drained = { nodes: [testNode(1, { spec: { availability: NodeAvailability.DRAIN } })] };
  assert.deepEqual(plan({ tasks: [running(1)], ...drained }).said, ["stop t1"]);
  const stopping = running(1, { desiredState: TaskState.SHUTDOWN });
  assert.deepEqual(plan({ tasks: [stopping], ...drained }).said, []);
  const stopped = {
    ...stopping,
    status: testTask("", { status: { state: TaskState.SHUTDOWN } }).status,
  };
  assert.deepEqual(plan({ tasks: [stopped], ...drained }).said, ["create 1"]);
});

test("A task of condition none whose node is drained is not replaced", () => {
  const drained = { nodes: [testNode(1, { spec: { availability: NodeAvailability.DRAIN } })] };
  const restart = { condition: RestartCondition.NONE };
  const service = testService({ task: { restart } });
  const task = running(1, { spec: testTaskSpec({ restart }) });
  assert.deepEqual(plan({ service, tasks: [task], ...drained }).said, ["stop t1"]);
  const status = testTask("", { status: { state: TaskState.SHUTDOWN } }).status;
  const stopped = { ...task, desiredState: TaskState.SHUTDOWN, status };
  assert.deepEqual(plan({ service, tasks: [stopped], ...drained }).said, []);
});

test("A node that pauses or is not yet known to be READY keeps its tasks", () => {
  const paused = testNode(1, { spec: { availability: NodeAvailability.PAUSE } });
  const unknown = testNode(1, { status: { state: NodeState.UNKNOWN } });
  for (const node of [paused, unknown]) {
    assert.deepEqual(plan({ tasks: [running(1)], nodes: [node] }).said, []);
  }
});

const image = { runtime: { case: "container", value: { image: "busybox:2" } } } as const;

function outdated(slot: number, init: Parameters<typeof testTask>[1] = {}): Task {
  return running(slot, { spec: testTaskSpec(image), ...init });
}

test("An update stops one running task at a time, and creates the new one when the old has stopped", () => {
  const service = testService({ replicas: 3, version: 2 });
  const tasks = [outdated(1), outdated(2), outdated(3)];
  const first = plan({ service, tasks });
  assert.deepEqual(first.said, ["stop t1"]);
  assert.equal(first.update?.state, UpdateState.UPDATING);
  assert.equal(first.update.message, "update in progress");

  const stopping = outdated(1, { desiredState: TaskState.SHUTDOWN });
  const waiting = plan({ service, tasks: [stopping, outdated(2), outdated(3)] });
  assert.deepEqual([waiting.said, waiting.wakeAtMs], [[], nowMs + 60_000]);

  const status = { state: TaskState.SHUTDOWN };
  const stopped = { ...stopping, status: testTask("x", { status, atMs: nowMs }).status };
  const next = plan({ service, tasks: [stopped, outdated(2), outdated(3)] });
  assert.deepEqual(next.said, ["create 1"]);

  const fresh = { ...running(1), id: "fresh" };
  const starting = {
    ...fresh,
    status: testTask("x", { status: { state: TaskState.STARTING } }).status,
  };
  assert.deepEqual(
    plan({ service, tasks: [stopped, starting, outdated(2), outdated(3)] }).said,
    [],
  );
  assert.deepEqual(plan({ service, tasks: [stopped, fresh, outdated(2), outdated(3)] }).said, [
    "stop t2",
  ]);
});

test("An update takes as many slots at a time as its parallelism says; 0 is all", () => {
  const tasks = [1, 2, 3, 4].map((slot) => outdated(slot));
  for (const [parallelism, stops] of [
    [2n, 2],
    [0n, 4],
  ] as const) {
    const service = testService({ replicas: 4, version: 2 });
    assert.ok(service.spec);
    service.spec.update = { parallelism } as NonNullable<typeof service.spec.update>;
    assert.equal(plan({ service, tasks }).said.length, stops);
  }
});

test("An update replaces what does not run out of turn", () => {
  const pending = { status: { state: TaskState.PENDING }, nodeId: "" };
  const tasks = [outdated(1), outdated(2, pending), outdated(3, pending)];
  const { said } = plan({ service: testService({ replicas: 3, version: 2 }), tasks });
  assert.deepEqual(said, ["stop t2", "create 2", "stop t3", "create 3"]);
});

test("An update replaces what starts out of turn, too, but when it has stopped: no slot runs twice", () => {
  const service = testService({ replicas: 2, version: 2 });
  const starting = outdated(1, { status: { state: TaskState.STARTING, attempt: 1 } });
  assert.deepEqual(plan({ service, tasks: [starting, running(2)] }).said, ["stop t1"]);
  const stopping = { ...starting, desiredState: TaskState.SHUTDOWN };
  assert.deepEqual(plan({ service, tasks: [stopping, running(2)] }).said, []);
  const status = testTask("", { status: { state: TaskState.SHUTDOWN } }).status;
  const stopped = { ...stopping, status } as Task;
  assert.deepEqual(plan({ service, tasks: [stopped, running(2)] }).said, ["create 1"]);
});

test("An old task that does not stop is waited for one minute", () => {
  const tasks = [outdated(1, { desiredState: TaskState.SHUTDOWN })];
  const service = testService({ version: 2 });
  assert.deepEqual(plan({ service, tasks, atMs: nowMs + 59_999 }).said, []);
  assert.deepEqual(plan({ service, tasks, atMs: nowMs + 60_000 }).said, ["create 1"]);
});

test("A new task waits for all that were told to stop, not for the last of them alone", () => {
  const service = testService({ version: 2 });
  const slow = outdated(1, { id: "slow", desiredState: TaskState.SHUTDOWN });
  const status = { state: TaskState.SHUTDOWN, attempt: 1 };
  const last = running(1, {
    id: "last",
    desiredState: TaskState.SHUTDOWN,
    status,
    atMs: nowMs + 1,
  });
  assert.deepEqual(plan({ service, tasks: [slow, last] }).said, []);
  const stopped = { ...slow, status: last.status } as Task;
  assert.deepEqual(plan({ service, tasks: [stopped, last] }).said, ["create 1"]);
});

test("An old task's reports do not lengthen the minute", () => {
  const service = testService({ version: 2 });
  const told = plan({ service, tasks: [outdated(1)] });
  const stop = told.actions.find(({ kind }) => kind === "task");
  assert.ok(stop?.kind === "task");
  const reported = outdated(1, { atMs: nowMs + 59_000 });
  const tasks = [{ ...stop.object, meta: reported.meta, status: reported.status }] as Task[];
  assert.deepEqual(plan({ service, tasks, atMs: nowMs + 59_999 }).said, []);
  assert.deepEqual(plan({ service, tasks, atMs: nowMs + 60_000 }).said, ["create 1"]);
});

test("An old task whose node is lost while it stops is not waited for", () => {
  const tasks = [outdated(1, { desiredState: TaskState.SHUTDOWN })];
  const service = testService({ version: 2 });
  assert.deepEqual(plan({ service, tasks, nodes: [] }).said, ["create 1"]);
});

test("A slot that had ended for good is filled again by an update", () => {
  const restart = { condition: RestartCondition.NONE };
  const dead = failed(1, { spec: testTaskSpec({ restart }), desiredState: TaskState.SHUTDOWN });
  const service = testService({ version: 2, task: { restart, ...image } });
  assert.deepEqual(plan({ service, tasks: [dead] }).said, ["create 1"]);
});

test("A change of labels, replicas or the registry's password restarts nothing", () => {
  const service = testService({ replicas: 2, version: 9 });
  assert.ok(service.spec?.task?.runtime.case === "container");
  service.spec.task = testTaskSpec({
    runtime: {
      case: "container",
      value: { image: "busybox", pullOptions: { registryAuth: "new" } },
    },
  });
  assert.deepEqual(plan({ service, tasks: [running(1)] }).said, ["create 2"]);
});

test("A change of where tasks may run replaces only those that are where they may not", () => {
  const placement = { constraints: ["node.hostname==h1"] };
  const service = testService({ replicas: 2, version: 9, task: { placement } });
  const tasks = [running(1), running(2, { nodeId: "node2" })];
  assert.deepEqual(plan({ service, tasks }).said, ["stop t2"]);
});

const states: readonly TaskState[] = [
  TaskState.NEW,
  TaskState.PENDING,
  TaskState.ASSIGNED,
  TaskState.STARTING,
  TaskState.RUNNING,
  TaskState.COMPLETE,
  TaskState.SHUTDOWN,
  TaskState.FAILED,
  TaskState.REJECTED,
];

test("Whatever happens, repeating the plan fills every slot once and then rests", () => {
  const shape = fc.record({
    slot: fc.integer({ min: 1, max: 6 }),
    state: fc.constantFrom(...states),
    desired: fc.constantFrom(TaskState.SHUTDOWN, TaskState.RUNNING),
    node: fc.integer({ min: 1, max: 4 }),
    old: fc.boolean(),
    ageMs: fc.nat(100_000),
  });
  const property = fc.property(
    fc.array(shape, { maxLength: 20 }),
    fc.nat(6),
    (shapes, replicas) => {
      let tasks: Task[] = shapes.map(({ slot, state, desired, node, old, ageMs }, index) =>
        testTask(`t${index}`, {
          slot: BigInt(slot),
          status: { state, attempt: 1 },
          desiredState: desired,
          nodeId: state >= TaskState.ASSIGNED ? `node${node}` : "",
          spec: testTaskSpec(old ? image : {}),
          atMs: nowMs - ageMs,
        }),
      );
      // A slot never has two wanted tasks.
      const wanted = new Set<bigint>();
      tasks = tasks.filter(
        (task) => !isWanted(task) || (!wanted.has(task.slot) && wanted.add(task.slot)),
      );
      let service = testService({ replicas, version: 2 });
      for (let round = 0; round < 40; round++) {
        const atMs = nowMs + round * 61_000;
        const { actions } = plan({ service, tasks, atMs });
        const byId = new Map(tasks.map((task) => [task.id, task]));
        for (const action of actions) {
          if (action.kind === "service") service = action.object;
          if (action.kind !== "task") continue;
          const { object } = action;
          const id = action.action === "create" ? `r${round}-${object.id}` : object.id;
          const at = timestampFromMs(atMs);
          byId.set(id, {
            ...object,
            id,
            meta: { ...testTask("").meta, updatedAt: at, createdAt: at } as never,
          });
        }
        // Agents obey at once.
        tasks = [...byId.values()]
          .filter((task) => task.desiredState !== TaskState.REMOVE)
          .map((task) => {
            if (isTerminal(task)) return task;
            const state = isWanted(task) ? TaskState.RUNNING : TaskState.SHUTDOWN;
            return {
              ...task,
              nodeId: task.nodeId === "node4" ? "node4" : "node1",
              status: testTask("", { status: { state } }).status,
            };
          });
        const slots = Map.groupBy(tasks.filter(isWanted), ({ slot }) => slot);
        for (const one of slots.values()) assert.equal(one.length, 1);
      }
      const alive = tasks.filter((task) => isWanted(task) && !isTerminal(task));
      assert.equal(alive.length, replicas);
      assert.ok(alive.every((task) => sameSpec(task.spec, service.spec?.task) === "same"));
      assert.deepEqual(plan({ service, tasks, atMs: nowMs + 41 * 61_000 }).said, []);
    },
  );
  fc.assert(property, { numRuns: 100 });
});

test("Scaling down a service with an address for each slot takes the higher slots, so that the others stay", () => {
  const networks = [{ target: "net", addresses: ["10.0.0.2", "10.0.0.3", "10.0.0.4"] }];
  const service = testService({ replicas: 2, task: { networks } });
  const spec = testTaskSpec({ networks });
  const starting = { state: TaskState.STARTING };
  const tasks = [
    running(1, { spec, status: starting }),
    running(2, { spec }),
    running(3, { spec }),
  ];
  assert.deepEqual(plan({ service, tasks }).said, ["remove t3"]);
});
