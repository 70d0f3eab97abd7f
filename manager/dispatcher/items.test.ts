import assert from "node:assert/strict";
import { test } from "node:test";
import { Health, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { testNetwork, testNode, testTask } from "../testing/fixtures.ts";
import { endpointOf } from "./items.ts";

const attachment = { network: testNetwork("a"), addresses: ["10.0.0.2/24"] };

function serves(options: {
  readonly health?: Health;
  readonly state?: TaskState;
  readonly desiredState?: TaskState;
  readonly nodeState?: NodeState;
}): boolean | undefined {
  const {
    health = Health.NONE,
    state = TaskState.RUNNING,
    desiredState = TaskState.RUNNING,
  } = options;
  const task = testTask("one", {
    nodeId: "node1",
    desiredState,
    networks: [attachment],
    status: { state, container: { health } },
  });
  const node = testNode(1, { status: { state: options.nodeState ?? NodeState.READY } });
  const [own] = task.networks;
  assert.ok(own !== undefined);
  return endpointOf(task, own, node)?.serving;
}

test("An endpoint serves while its task runs, is wanted, and is not unhealthy", () => {
  assert.equal(serves({}), true);
  assert.equal(serves({ health: Health.HEALTHY }), true);
  assert.equal(serves({ health: Health.UNHEALTHY }), false);
  assert.equal(serves({ health: Health.STARTING, state: TaskState.STARTING }), false);
  assert.equal(serves({ desiredState: TaskState.SHUTDOWN }), false);
  assert.equal(serves({ nodeState: NodeState.UNKNOWN }), false);
});
