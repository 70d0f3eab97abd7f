import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { Store } from "#manager/store/store.ts";
import type { Change } from "#manager/store/objects.ts";
import {
  NodeSchema,
  ServiceSchema,
  type Task,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeState,
  NodeStatusSchema,
  TaskState,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { Checks } from "./checks.ts";
import { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import { Trace } from "../trace.ts";
import type { CheckName } from "./violation.ts";

const service = create(ServiceSchema, {
  id: "web",
  spec: { mode: { case: "replicated", value: { replicas: 2n } } },
});
const node = create(NodeSchema, {
  id: "node1",
  status: { state: NodeState.READY },
  description: { resources: { memoryBytes: 100n } },
});

type TaskInit = Exclude<MessageInitShape<typeof TaskSchema>, Task>;

function task(id: string, init: TaskInit = {}): Task {
  return create(TaskSchema, {
    id,
    serviceId: "web",
    slot: 1n,
    nodeId: "node1",
    desiredState: TaskState.RUNNING,
    status: { state: TaskState.RUNNING, attempt: 1 },
    ...init,
  });
}

/** What the checks say of tasks that come one after another, as they are and as they become. */
async function verdictOn(
  steps: readonly (readonly [before: Task | undefined, after: Task])[],
  asked = service,
): Promise<CheckName | undefined> {
  const trace = new Trace(10, () => 0);
  const checks = new Checks({ marks: new Marks<MarkName>(), trace, now: () => 1 });
  const store = new Store({ clock: systemClock });
  let index = 0n;
  const log = {
    propose: async (data: Uint8Array) => {
      index += 1n;
      return store.apply({ index, data });
    },
    barrier: async () => undefined,
  };
  store.attach(log);
  await store.write(() => [
    { action: "create", kind: "service", object: asked },
    { action: "create", kind: "node", object: node },
  ]);
  for (const [before, after] of steps) {
    await store.write((view) => {
      const known = view.get("task", after.id);
      const action = known === undefined ? "create" : "update";
      const object = known?.meta === undefined ? after : { ...after, meta: known.meta };
      return [{ action, kind: "task", object }];
    });
    const change: Change = { kind: "task", before, after };
    checks.onCommit({ index, changes: [change] }, store);
  }
  return checks.failure?.check;
}

test("checks, a cluster as it should be", async () => {
  assert.equal(await verdictOn([[undefined, task("a")]]), undefined);
});

test("checks, two tasks of one slot, but for an update that starts first", async () => {
  const twice = [[undefined, task("a")] as const, [undefined, task("b")] as const];
  assert.equal(await verdictOn(twice), "one task per slot");
  const startFirst = create(ServiceSchema, {
    id: "web",
    spec: { mode: { case: "replicated", value: {} }, update: { order: UpdateOrder.START_FIRST } },
  });
  assert.equal(await verdictOn(twice, startFirst), undefined);
});

test("checks, a state that goes back", async () => {
  const before = task("a");
  const after = task("a", { status: { state: TaskState.STARTING, attempt: 1 } });
  assert.equal(
    await verdictOn([
      [undefined, before],
      [before, after],
    ]),
    "states grow",
  );
  const revived = task("a", { status: { state: TaskState.RUNNING, attempt: 2 } });
  const dead = task("a", { status: { state: TaskState.FAILED, attempt: 1 } });
  assert.equal(
    await verdictOn([
      [undefined, dead],
      [dead, revived],
    ]),
    "states grow",
  );
  const told = task("a", { desiredState: TaskState.SHUTDOWN });
  assert.equal(
    await verdictOn([
      [undefined, told],
      [told, before],
    ]),
    "states grow",
  );
});

test("checks, more on a node than there may be", async () => {
  const spec = { placement: { maxReplicas: 2n } };
  const tasks = [1n, 2n, 3n].map((slot) => [undefined, task(`t${slot}`, { slot, spec })] as const);
  assert.equal(await verdictOn(tasks.slice(0, 2)), undefined);
  assert.equal(await verdictOn(tasks), "replicas per node are kept");
});

test("checks, more memory than a node has", async () => {
  const spec = { resources: { reservations: { memoryBytes: 60n } } };
  const tasks = [1n, 2n].map((slot) => [undefined, task(`t${slot}`, { slot, spec })] as const);
  assert.equal(await verdictOn(tasks.slice(0, 1)), undefined);
  assert.equal(await verdictOn(tasks), "reservations are kept");
});

test("checks, one address twice", async () => {
  const networks = [{ network: { id: "net" }, addresses: ["10.0.1.5/24"] }];
  const tasks = [1n, 2n].map((slot) => [undefined, task(`t${slot}`, { slot, networks })] as const);
  assert.equal(await verdictOn(tasks), "addresses are unique");
});

test("checks, two containers of one slot, but for one on a host that was lost", async () => {
  const trace = new Trace(10, () => 0);
  for (const [nodeState, expected] of [
    [NodeState.READY, "one container per slot"],
    [NodeState.DOWN, undefined],
  ] as const) {
    const checks = new Checks({ marks: new Marks<MarkName>(), trace, now: () => 5 });
    const store = new Store({ clock: systemClock });
    store.attach({
      propose: async (data) => store.apply({ index: 1n, data }),
      barrier: async () => undefined,
    });
    await store.write(() => [
      { action: "create", kind: "service", object: service },
      { action: "create", kind: "task", object: task("a") },
      { action: "create", kind: "task", object: task("b") },
    ]);
    const status = create(NodeStatusSchema, { state: nodeState });
    const after = create(NodeSchema, { ...node, status });
    const before = node;
    checks.onCommit({ index: 2n, changes: [{ kind: "node", before, after }] }, store);
    const place = { pid: 1, sinceMs: 0, onExit: () => undefined };
    const old = { ...place, task: task("a"), nodeId: "node1" };
    checks.onStart({ ...place, task: task("b"), nodeId: "node2" }, [old], store);
    assert.equal(checks.failure?.check, expected);
  }
});
