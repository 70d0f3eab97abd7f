/** A host that is lost must be out of every other host's names and virtual addresses at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AssignmentChange_Action as Action } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { openTestStore, testNetwork, testNode, testTask } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManager, type TestManager } from "../testing/test-manager.ts";

const agentCount = 20;
const endpointsOfLost = 10;
const network = testNetwork("a");

/** Longer than messages to one node are apart. */
const quietMs = 10;

function running(id: string, nodeId: string, at: number) {
  return testTask(id, {
    serviceId: "",
    nodeId,
    status: { state: TaskState.RUNNING },
    networks: [{ network, addresses: [`10.0.0.${at}/24`] }],
  });
}

/** Node 1, which says nothing, and agents of all others; all are on the network. */
async function openGround(clock: FakeClock, scope: AsyncDisposableStack) {
  const manager = scope.use(await startTestManager({ clock, test: openTestStore(clock) }));
  const nodes = Array.from({ length: agentCount + 1 }, (_, at) => testNode(at + 1));
  await manager.put("network", network);
  await manager.put("node", ...nodes);
  const lost = Array.from({ length: endpointsOfLost }, (_, at) =>
    running(`lost${at}`, "node1", at),
  );
  const others = nodes.slice(1).map(({ id, number }) => running(id, id, 100 + number));
  await manager.put("task", ...lost, ...others);
  const agents = nodes.slice(1).map(({ id }) => {
    return scope.use(new TestAgent({ nodeId: id, address: manager.address, heartbeatMs: 0 }));
  });
  for (const agent of agents) await agent.connect();
  await untilQuiet(manager, agents, clock);
  return { manager, agents };
}

/** All have heard of each other, and no message was sent within the last moment. */
async function untilQuiet(
  manager: TestManager,
  agents: readonly TestAgent[],
  clock: FakeClock,
): Promise<void> {
  const mark = testNetwork("a");
  const settled = agents.map((agent) =>
    agent.until(() => agent.items.get("network:network-a")?.value !== undefined),
  );
  await Promise.all(settled);
  await manager.put("network", {
    ...mark,
    driverState: { $typeName: "swarm.v1.Driver", name: "marked", options: {} },
  });
  const isMarked = (agent: TestAgent) => {
    const item = agent.items.get("network:network-a");
    return item?.case === "network" && item.value.driverState?.name === "marked";
  };
  const ticking = setInterval(() => clock.advance(quietMs), 1);
  await Promise.all(agents.map((agent) => agent.until(() => isMarked(agent))));
  clearInterval(ticking);
  clock.advance(quietMs);
}

test("Endpoints of a node that goes DOWN are taken away in one message, without waiting for a clock", async () => {
  await using scope = new AsyncDisposableStack();
  const clock = new FakeClock();
  const { manager, agents } = await openGround(clock, scope);
  const before = agents.map(({ messages }) => messages.length);
  const node = manager.store.get("node", "node1");
  assert.ok(node?.status !== undefined);
  await manager.put("node", { ...node, status: { ...node.status, state: NodeState.DOWN } });
  // The clock stands still from here on.
  await Promise.all(
    agents.map((agent, at) => agent.until(() => agent.messages.length > (before[at] ?? 0))),
  );
  for (const agent of agents) {
    const removed = agent.messages.at(-1)?.changes.filter(({ action }) => action === Action.REMOVE);
    assert.equal(removed?.length, endpointsOfLost);
    assert.ok([...agent.items.keys()].every((key) => !key.startsWith("endpoint:lost")));
  }
});
