import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "../store/store.ts";
import { testNode, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { findImagePeers } from "./image-peers.ts";

const digest = `sha256:${"a".repeat(64)}`;
const image = `registry.example/app:1@${digest}`;

function viewOf(nodes: readonly Node[], tasks: readonly Task[]): View {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const view: Pick<View, "get" | "list"> = {
    get: ((_kind: string, id: string) => byId.get(id)) as View["get"],
    list: ((kind: string) => (kind === "task" ? tasks : nodes)) as View["list"],
  };
  return view as View;
}

function node(number: number, state: NodeState = NodeState.READY): Node {
  const engineAddress = `192.0.2.${number % 250}:2378`;
  return testNode(number, { status: { state }, description: { engineAddress } });
}

function task(name: string, on: Node, state: TaskState, options: { image?: string } = {}): Task {
  const value = { image: options.image ?? image };
  return testTask(name, {
    nodeId: on.id,
    spec: testTaskSpec({ runtime: { case: "container", value } }),
    status: { state },
    desiredState: TaskState.RUNNING,
  });
}

function found(nodes: readonly Node[], tasks: readonly Task[], nodeId = "asker") {
  const peers = findImagePeers(viewOf(nodes, tasks), { digest, nodeId });
  return new Map(peers.map((peer) => [peer.nodeId, peer.holds]));
}

test("image peers, those who prepare and those who hold, by the states of their tasks", () => {
  const states = [
    [TaskState.PENDING, undefined],
    [TaskState.ASSIGNED, false],
    [TaskState.PREPARING, false],
    [TaskState.READY, true],
    [TaskState.RUNNING, true],
    [TaskState.FAILED, true],
    [TaskState.REJECTED, undefined],
    [TaskState.ORPHANED, undefined],
  ] as const;
  for (const [state, holds] of states) {
    const one = node(1);
    assert.equal(found([one], [task("t", one, state)]).get(one.id), holds, `state ${state}`);
  }
});

test("image peers, a node that holds it holds it though it prepares another task", () => {
  const one = node(1);
  const tasks = [task("a", one, TaskState.RUNNING), task("b", one, TaskState.ASSIGNED)];
  assert.deepEqual([...found([one], tasks)], [[one.id, true]]);
  assert.deepEqual([...found([one], tasks.toReversed())], [[one.id, true]]);
});

test("image peers, not the asker, nor nodes that are down, nor those of other images", () => {
  const [one, down, other] = [node(1), node(2, NodeState.DOWN), node(3)];
  const others = `registry.example/app:1@sha256:${"b".repeat(64)}`;
  const tasks = [
    task("a", one, TaskState.RUNNING),
    task("b", down, TaskState.RUNNING),
    task("c", other, TaskState.RUNNING, { image: others }),
  ];
  assert.deepEqual([...found([one, down, other], tasks, one.id)], []);
});

test("image peers, of many nodes the same are told to all who ask", () => {
  const nodes = Array.from({ length: 400 }, (_, index) => node(index + 1));
  const tasks = nodes.map((each, index) => task(`t${index}`, each, TaskState.PREPARING));
  const all = found(nodes, tasks);
  assert.equal(all.size, 256);
  const [told] = all.keys();
  assert.deepEqual(
    [...found(nodes, tasks.toReversed()).keys()].toSorted(),
    [...all.keys()].toSorted(),
  );
  assert.ok(told !== undefined && !found(nodes, tasks, told).has(told));
});
