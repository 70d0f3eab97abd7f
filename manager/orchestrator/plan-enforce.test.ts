import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  openTestStore,
  testNode,
  testService,
  testTask,
  testTaskSpec,
} from "../testing/fixtures.ts";
import { findMisfits } from "./plan-enforce.ts";

const placement = { constraints: ["node.labels.disk==ssd"] };

function node(disk: string, availability: NodeAvailability = NodeAvailability.ACTIVE): Node {
  return testNode(1, {
    spec: { annotations: { labels: { disk } }, availability },
    description: { resources: { nanoCpus: 2_000_000_000n, memoryBytes: 1_000n } },
  });
}

async function misfits(on: Node, ...tasks: readonly ReturnType<typeof testTask>[]) {
  const { store, put } = openTestStore();
  await put("node", on);
  await put("service", testService({ task: { placement } }));
  await put("task", ...tasks);
  return findMisfits(on, store).map(({ task, reason }) => `${task.id}: ${reason}`);
}

function running(id: string, init: Parameters<typeof testTask>[1] = {}) {
  return testTask(id, { nodeId: "node1", status: { state: TaskState.RUNNING }, ...init });
}

test("constraint enforcer, a node that lost its label loses the tasks that ask for it", async () => {
  const other = running("b", { serviceId: "other" });
  assert.deepEqual(await misfits(node("ssd"), running("a"), other), []);
  assert.deepEqual(await misfits(node("hdd"), running("a"), other), [
    "a: its node does not meet node.labels.disk==ssd any more",
  ]);
});

test("constraint enforcer, of a node with too little left those go that came last", async () => {
  const tasks = [1, 2, 3].map((number) =>
    running(`t${number}`, {
      serviceId: "other",
      spec: testTaskSpec({ resources: { reservations: { memoryBytes: 400n } } }),
    }),
  );
  assert.deepEqual(await misfits(node("ssd"), ...tasks), [
    "t3: its node has not enough memory any more",
  ]);
  const silent = testNode(1, { description: {} });
  assert.deepEqual(await misfits(silent, ...tasks), []);
});

test("constraint enforcer, leaves alone what ended or is told to, and nodes that are not active", async () => {
  const stopping = running("a", { desiredState: TaskState.SHUTDOWN });
  const ended = running("b", { status: { state: TaskState.FAILED } });
  const waiting = running("c", { status: { state: TaskState.PENDING } });
  assert.deepEqual(await misfits(node("hdd"), stopping, ended, waiting), []);
  for (const availability of [NodeAvailability.PAUSE, NodeAvailability.DRAIN]) {
    assert.deepEqual(await misfits(node("hdd", availability), running("a")), []);
  }
  const down = {
    ...node("hdd"),
    status: testNode(1, { status: { state: NodeState.DOWN } }).status,
  };
  assert.deepEqual(await misfits(down as Node, running("a")), []);
});
