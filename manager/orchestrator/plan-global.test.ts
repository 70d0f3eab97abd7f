import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  NodeState,
  PlacementSchema,
  RestartCondition,
  RestartPolicySchema,
  TaskState,
  UpdateConfigSchema,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { withSpec } from "../service-spec.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { testNode, testService, testTaskSpec } from "../testing/fixtures.ts";
import { eligibilityFor, wantedNodes } from "./eligible-nodes.ts";
import { type GlobalContext, planGlobal, planGlobalNode } from "./plan-global.ts";
import { rememberingSameSpec } from "./same-spec.ts";
import { type Look, ModeGround } from "./testing/mode-ground.ts";

function globalService(
  constraints: readonly string[] = [],
  order: UpdateOrder = UpdateOrder.STOP_FIRST,
): Service {
  const placement = create(PlacementSchema, { constraints: [...constraints] });
  const service = testService({ task: { placement } });
  assert.ok(service.spec);
  service.spec.mode = { case: "global", value: { $typeName: "swarm.v1.GlobalService" } };
  service.spec.update = create(UpdateConfigSchema, { parallelism: 1n, order });
  return service;
}

function groundOf(service: Service, nodes = 3): ModeGround {
  const sameSpec = rememberingSameSpec();
  const context = (look: Look): GlobalContext => ({
    ...look,
    sameSpec,
    logDriver: undefined,
    tasksOn: (id) => look.tasks.filter(({ nodeId }) => nodeId === id),
  });
  return new ModeGround(service, nodes, (look) => planGlobal(look.tasks, context(look)).actions);
}

/** The nodes with a task that runs and may, by their numbers. */
function homes(ground: ModeGround): string {
  const up = ground.tasks.filter((task) => isWanted(task) && stateOf(task) === TaskState.RUNNING);
  return up
    .map(({ nodeId }) => nodeId.replace("node", ""))
    .toSorted()
    .join(" ");
}

function labelled(number: number, zone: string) {
  const node = testNode(number);
  assert.ok(node.spec);
  node.spec.annotations = { $typeName: "swarm.v1.Annotations", name: "", labels: { zone } };
  return node;
}

function imageOf(spec: { readonly task?: TaskSpec | undefined } | undefined): string {
  const runtime = spec?.task?.runtime;
  return runtime?.case === "container" ? runtime.value.image : "";
}

test("global, each node has one task, named by its node; a new node gets one, a removed one's are forgotten", () => {
  const ground = groundOf(globalService(), 2);
  ground.settle();
  assert.equal(homes(ground), "1 2");
  const [first] = ground.tasks;
  assert.equal(first?.slot, 0n);
  assert.equal(first?.annotations?.name, `web.node1.${first?.id}`);
  ground.setNode(testNode(3, { status: { state: NodeState.UNKNOWN } }));
  ground.settle();
  assert.equal(homes(ground), "1 2");
  ground.setNode(testNode(3));
  ground.settle();
  assert.equal(homes(ground), "1 2 3");
  ground.removeNode("node2");
  ground.settle();
  assert.equal(homes(ground), "1 3");
  assert.equal(ground.tasks.length, 2);
});

test("global, drained, down and unfitting nodes lose their tasks, and get new ones when they fit again", () => {
  const ground = groundOf(globalService(["node.labels.zone==a"]));
  for (const number of [1, 2, 3]) ground.setNode(labelled(number, "a"));
  ground.settle();
  assert.equal(homes(ground), "1 2 3");
  const drained = labelled(1, "a");
  assert.ok(drained.spec);
  drained.spec.availability = NodeAvailability.DRAIN;
  ground.setNode(drained);
  ground.setNode(labelled(2, "b"));
  ground.settle();
  assert.equal(homes(ground), "3");
  const down = { ...labelled(3, "a"), status: { state: NodeState.DOWN } } as never;
  ground.setNode(down);
  ground.plan();
  assert.equal(homes(ground), "");
  for (const number of [1, 2, 3]) ground.setNode(labelled(number, "a"));
  ground.settle();
  assert.equal(homes(ground), "1 2 3");
  const told = ground.tasks.filter((task) => !isWanted(task));
  assert.deepEqual(
    told.map(({ desiredState }) => desiredState),
    [TaskState.SHUTDOWN, TaskState.SHUTDOWN, TaskState.SHUTDOWN],
  );
  assert.deepEqual(
    told.map(({ nodeId, desiredMessage }) => `${nodeId}: ${desiredMessage}`).toSorted(),
    [
      "node1: its node is drained",
      "node2: its node is not what the service asks for any more",
      "node3: its node is down",
    ],
  );
});

test("global, a paused node keeps its task as it is, and counts only if it has one", () => {
  const ground = groundOf(globalService(), 2);
  const paused = (number: number) => {
    const node = testNode(number);
    assert.ok(node.spec);
    node.spec.availability = NodeAvailability.PAUSE;
    ground.setNode(node);
  };
  ground.settle();
  paused(1);
  paused(3);
  ground.settle();
  assert.equal(homes(ground), "1 2");
  const view = { list: () => ground.nodes } as never;
  assert.equal(wantedNodes(view, ground.service, ground.tasks).size, 2);
  const before = ground.tasks.find(({ nodeId }) => nodeId === "node1")?.id;
  assert.ok(ground.service.spec);
  const runtime = { case: "container", value: { image: "new" } } as const;
  ground.service = withSpec(ground.service, {
    ...ground.service.spec,
    task: testTaskSpec({ runtime }),
  });
  ground.settle();
  const kept = ground.tasks.filter(({ nodeId }) => nodeId === "node1");
  assert.deepEqual(
    kept.map(({ id }) => id),
    [before],
  );
  ground.setNode(testNode(1));
  ground.settle();
  assert.equal(imageOf({ task: ground.running("node1")[0]?.spec }), "new");
});

test("global, what is rejected is tried again on its node, and what completed and shall not run again is not", () => {
  const service = globalService();
  assert.ok(service.spec?.task);
  service.spec.task.restart = create(RestartPolicySchema, {
    condition: RestartCondition.ON_FAILURE,
  });
  const ground = groundOf(service, 1);
  ground.plan();
  const [first] = ground.tasks;
  assert.ok(first);
  ground.report(first, TaskState.REJECTED);
  ground.settle();
  assert.equal(homes(ground), "1");
  const second = ground.running("node1")[0];
  assert.ok(second);
  ground.report(second, TaskState.COMPLETE);
  ground.settle();
  assert.equal(homes(ground), "");
  assert.equal(ground.tasks.length, 2);
});

test("global, one node alone is planned as it is within the whole", () => {
  const choices = fc.array(fc.nat(99), { maxLength: 25 });
  const property = fc.property(choices, (list) => {
    const sameSpec = rememberingSameSpec();
    const said = (actions: readonly { readonly object: { readonly id: string } }[]) =>
      actions
        .map(({ object }) => (object as Task).nodeId + (object as Task).desiredState)
        .toSorted();
    const ground = new ModeGround(globalService(), 3, (look) => {
      const context: GlobalContext = {
        ...look,
        sameSpec,
        logDriver: undefined,
        tasksOn: (id) => look.tasks.filter(({ nodeId }) => nodeId === id),
      };
      const whole = planGlobal(look.tasks, context).actions;
      const each = look.nodes.flatMap(({ id }) => planGlobalNode(id, context).actions);
      assert.deepEqual(said(each), said(whole));
      return whole;
    });
    for (const choice of list) {
      ground.plan();
      if (choice % 3 === 0) ground.changeNode(choice);
      else ground.news(choice, choice % 7 === 0 ? TaskState.FAILED : undefined);
    }
  });
  fc.assert(property, { numRuns: 100 });
});

const orders: readonly (readonly [string, UpdateOrder])[] = [
  ["stop-first", UpdateOrder.STOP_FIRST],
  ["start-first", UpdateOrder.START_FIRST],
];
for (const [name, order] of orders) {
  test(`global, whatever nodes do, ${name}: never two tasks on one without need, replans do nothing, and all is well in the end`, () => {
    const choices = fc.array(fc.nat(999), { maxLength: 60 });
    const property = fc.property(choices, (list) => {
      const ground = groundOf(globalService(["node.id!=node4"], order), 4);
      let images = 0;
      for (const choice of list) {
        ground.plan();
        checkGround(ground, order);
        if (choice % 5 === 0) ground.changeNode(choice);
        else if (choice % 31 === 1 && ground.service.spec !== undefined) {
          const runtime = { case: "container", value: { image: `v${++images}` } } as const;
          const task = testTaskSpec({ runtime });
          const { placement } = ground.service.spec.task ?? {};
          if (placement !== undefined) task.placement = placement;
          ground.service = withSpec(ground.service, { ...ground.service.spec, task });
        } else if (choice % 17 === 2) ground.nowMs += 10_000;
        else ground.news(choice, choice % 7 === 0 ? TaskState.FAILED : undefined);
      }
      for (const { number } of ground.nodes) ground.setNode(testNode(number));
      // An update that failed is paused: the next one goes on.
      const { updateStatus: _, ...fresh } = ground.service;
      ground.service = fresh;
      ground.settle();
      assert.equal(homes(ground), "1 2 3");
      const running = ground.tasks.filter((task) => stateOf(task) === TaskState.RUNNING);
      const image = imageOf(ground.service.spec);
      assert.ok(running.every((task) => imageOf({ task: task.spec }) === image));
      const left = ground.tasks.filter((task) => !isWanted(task) && !isTerminal(task));
      assert.deepEqual(left, []);
    });
    fc.assert(property, { numRuns: 150 });
  });
}

function checkGround(ground: ModeGround, order: UpdateOrder): void {
  const again = ground.actions().filter(({ kind }) => kind === "task");
  assert.deepEqual(again, [], "a replan does something");
  const eligible = eligibilityFor(ground.service);
  for (const node of ground.nodes) {
    const alive = ground.running(node.id).filter((task) => !ground.isOverdue(task));
    assert.ok(alive.length <= (order === UpdateOrder.START_FIRST ? 2 : 1), "two on a node");
    const wanted = ground.tasks.filter((task) => task.nodeId === node.id && isWanted(task));
    if (eligible(node) === "none") assert.ok(wanted.every(isTerminal), "one that must go");
  }
}
