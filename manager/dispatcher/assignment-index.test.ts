import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { AssignmentChange_Action as Action } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { unpackEndpoint } from "#proto/endpoint-wire.ts";
import {
  type Assignment,
  type AssignmentsResponse,
  AssignmentsResponseSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { type Secret, SecretSchema, type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  EndpointMode,
  EndpointSchema,
  type Network,
  NodeState,
  PublishMode,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import type { View } from "../store/store.ts";
import {
  openTestStore,
  testNetwork,
  testNode,
  testService,
  testTask,
  testTaskSpec,
} from "../testing/fixtures.ts";
import { noLogs } from "../testing/test-manager.ts";
import { AssignmentIndex } from "./assignment-index.ts";
import { streamAssignments } from "./assignment-stream.ts";
import { isAssigned } from "../task.ts";
import { endpointOf, fileKeysOf, isOnNetworks, peerOf, secretItem } from "./items.ts";
import { narrowed, serviceEndpointOf } from "./service-endpoint.ts";

type Items = Map<string, unknown>;

/** A node's set by the book: everything in the store, looked at one by one. */
function scan(view: View, nodeId: string): Items {
  const items: Items = new Map();
  const tasks = view.list("task").filter(isAssigned);
  for (const task of tasks.filter((one) => one.nodeId === nodeId)) {
    for (const key of fileKeysOf(task)) {
      const secret = view.get("secret", key.slice("secret:".length));
      if (secret !== undefined) items.set(key, secretItem(secret));
    }
  }
  const networks = new Set<string>();
  for (const task of tasks.filter((one) => one.nodeId === nodeId)) {
    items.set(`task:${task.id}`, task.desiredState);
    if (!isOnNetworks(task)) continue;
    for (const { network } of task.networks) networks.add(network?.id ?? "");
  }
  const published = new Map<string, string>();
  const ingress = view.list("network").find(({ spec }) => spec?.ingress);
  for (const service of view.list("service")) {
    const whole = serviceEndpointOf(service, view, ingress);
    const item = whole && narrowed(whole, (id) => networks.has(id));
    if (item === undefined) continue;
    items.set(`service:${service.id}`, item);
    if (item.publishedNetworkId !== "") published.set(service.id, item.publishedNetworkId);
  }
  for (const id of new Set([...networks, ...published.values()])) {
    const network = view.get("network", id);
    if (network !== undefined) items.set(`network:${id}`, network);
  }
  for (const task of tasks) {
    for (const attachment of task.networks) {
      const networkId = attachment.network?.id ?? "";
      if (!networks.has(networkId) && published.get(task.serviceId) !== networkId) continue;
      const endpoint = endpointOf(task, attachment, view.get("node", task.nodeId));
      if (endpoint !== undefined) items.set(`endpoint:${endpoint.id}`, endpoint);
    }
  }
  for (const node of view.list("node")) {
    const peer = node.id === nodeId ? undefined : peerOf(node);
    if (peer !== undefined) items.set(`peer:${node.id}`, peer);
  }
  return items;
}

/** What an agent has after a message. Of tasks only what it must obey: the status is its own. */
function fold(items: Items, sent: AssignmentsResponse): void {
  const { changes } = fromBinary(
    AssignmentsResponseSchema,
    toBinary(AssignmentsResponseSchema, sent),
  );
  for (const { action, assignment } of changes) {
    const [key, value] = keyed(assignment?.item);
    if (action === Action.REMOVE) items.delete(key);
    else items.set(key, value);
  }
}

function keyed(item: Assignment["item"] | undefined): readonly [string, unknown] {
  switch (item?.case) {
    case "task":
      return [`task:${item.value.id}`, item.value.desiredState];
    case "endpoint": {
      const endpoint = unpackEndpoint(item.value);
      return [`endpoint:${endpoint.id}`, endpoint];
    }
    case "secret":
    case "network":
    case "service":
      return [`${item.case}:${item.value.id}`, item.value];
    case "peer":
      return [`peer:${item.value.nodeId}`, item.value];
    default:
      throw new Error(`unexpected ${item?.case}`);
  }
}

const networks: readonly Network[] = ["a", "b"].map((name) => testNetwork(name));

const ingress: Network = {
  ...testNetwork("ingress"),
  spec: { ...testNetwork("ingress").spec, ingress: true } as NonNullable<Network["spec"]>,
};

/** On the named networks, as the allocator would have written it. */
function serviceOn(
  name: string,
  targets: readonly string[],
  options: { readonly port?: number; readonly mode?: EndpointMode } = {},
): Service {
  const { port, mode = EndpointMode.VIP } = options;
  const ports =
    port === undefined
      ? []
      : [{ targetPort: 80, publishedPort: port, publishMode: PublishMode.INGRESS }];
  const made = testService({
    name,
    task: { networks: targets.map((target) => ({ target, aliases: [`${name}-alias`] })) },
  });
  const virtualIps = mode === EndpointMode.VIP ? targets.flatMap(virtualIpsOn) : [];
  return { ...made, endpoint: create(EndpointSchema, { spec: { mode }, ports, virtualIps }) };
}

function virtualIpsOn(target: string) {
  const networkId = `network-${target}`;
  return [
    { networkId, address: "10.0.9.9/24" },
    { networkId, address: "fd00::9/64" },
  ];
}

/** By a task's number: which networks it is on. The last of them is the ingress. */
const attachmentsOf: readonly (readonly number[])[] = [[], [0], [1], [0, 1], [2]];

const secrets = ["s0", "s1"].map((id) =>
  create(SecretSchema, { id, spec: { annotations: { name: id }, data: Buffer.from(id) } }),
);

const rarely = fc.nat(4).map((draw) => draw === 0);

const step = fc.oneof(
  fc.record({
    kind: fc.constant("task" as const),
    id: fc.nat(7),
    node: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(
      TaskState.PENDING,
      TaskState.ASSIGNED,
      TaskState.RUNNING,
      TaskState.FAILED,
    ),
    desired: fc.constantFrom(TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE),
    gone: rarely,
  }),
  fc.record({
    kind: fc.constant("node" as const),
    id: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(NodeState.READY, NodeState.DOWN),
    address: fc.constantFrom("192.0.2.77", "192.0.2.78", ""),
    gone: rarely,
  }),
  fc.record({
    kind: fc.constant("service" as const),
    id: fc.nat(1),
    on: fc.subarray(["a", "b"]),
    port: fc.option(fc.constant(8080), { nil: undefined }),
    mode: fc.constantFrom(EndpointMode.VIP, EndpointMode.DNSRR),
    gone: rarely,
  }),
  fc.record({
    kind: fc.constant("network" as const),
    at: fc.nat(2),
    gone: rarely,
  }),
  fc.record({ kind: fc.constant("secret" as const), id: fc.nat(1), gone: rarely }),
  fc.record({ kind: fc.constant("read" as const) }),
);

test("A complete set and its increments are, at every point, what a scan of the store gives", {
  timeout: 60_000,
}, async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const { store, put, remove } = openTestStore();
    await put("network", ...networks);
    await put("node", testNode(1), testNode(2));
    const index = new AssignmentIndex(store);
    using _watch = store.watch((commit) => {
      for (const change of commit.changes) index.onChange(change);
    });
    const agents = ["node1", "node2"].map((nodeId) => {
      const controller = new AbortController();
      const clock = { ...systemClock, sleep: () => Promise.resolve() };
      const modules = { index, clock, logSubscriptions: noLogs };
      const stream = streamAssignments(nodeId, modules, controller.signal);
      return { nodeId, controller, messages: stream[Symbol.asyncIterator](), items: new Map() };
    });
    const read = async () => {
      for (const agent of agents) {
        const expected = scan(store, agent.nodeId);
        for (let turns = 0; turns < 2 && !same(agent.items, expected); turns++) {
          const { value, done } = await agent.messages.next();
          if (done !== true) fold(agent.items, value);
        }
        assert.deepEqual(agent.items, expected);
      }
    };
    await read();
    for (const one of steps) {
      if (one.kind === "read") await read();
      else if (one.kind === "network") {
        const network = [...networks, ingress][one.at] as Network;
        await (one.gone ? remove("network", network) : put("network", network));
      } else if (one.kind === "service") {
        const { port, mode } = one;
        const options = { mode, ...(port !== undefined && { port }) };
        const service = serviceOn(`s${one.id}`, one.on, options);
        await (one.gone ? remove("service", service) : put("service", service));
      } else if (one.kind === "secret") {
        const secret = secrets[one.id] as Secret;
        await (one.gone ? remove("secret", secret) : put("secret", secret));
      } else if (one.kind === "node") {
        const node = testNode(one.id, { status: { state: one.state } });
        if (node.description !== undefined) node.description.dataPathAddress = one.address;
        await (one.gone ? remove("node", node) : put("node", node));
      } else {
        const task = testTask(`t${one.id}`, {
          nodeId: one.state >= TaskState.ASSIGNED ? `node${one.node}` : "",
          status: { state: one.state },
          desiredState: one.desired,
          // Fixed likewise.
          spec: testTaskSpec({
            runtime: {
              case: "container",
              value: { image: "busybox", secrets: [{ secretId: `s${one.id % 3}` }] },
            },
          }),
          // As from the allocator: fixed for the task's life.
          serviceId: `service-s${one.id % 2}`,
          networks: (attachmentsOf[one.id % 5] ?? []).map((at) => ({
            network: [...networks, ingress][at] as Network,
            addresses: [`10.0.${at}.${one.id}/24`, `fd00:${at}::${one.id}/64`],
          })),
        });
        await (one.gone ? remove("task", task) : put("task", task));
      }
    }
    await read();
    for (const { controller } of agents) controller.abort();
  });
  await fc.assert(property, { numRuns: 150 });
});

function same(a: Items, b: Items): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

test("A status that its agent reported is not sent back to it", async () => {
  const { store, put } = openTestStore();
  await put("node", testNode(1));
  await put("task", testTask("a", { nodeId: "node1", status: { state: TaskState.ASSIGNED } }));
  const index = new AssignmentIndex(store);
  const told: string[] = [];
  index.listen("node1", (key) => told.push(key));
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  await put("task", testTask("a", { nodeId: "node1", status: { state: TaskState.RUNNING } }));
  assert.deepEqual(told, []);
  const desiredState = TaskState.SHUTDOWN;
  await put(
    "task",
    testTask("a", { nodeId: "node1", desiredState, status: { state: TaskState.RUNNING } }),
  );
  assert.deepEqual(told, ["task:a"]);
});

test("A task that ended stays with its node until it is deleted, but is on no network", async () => {
  const { store, put, remove } = openTestStore();
  await put("network", ...networks);
  await put("node", testNode(1));
  const inState = (state: TaskState) =>
    testTask("a", {
      nodeId: "node1",
      status: { state },
      networks: [{ network: networks[0] as Network, addresses: ["10.0.1.2/24"] }],
    });
  await put("task", inState(TaskState.RUNNING));
  const index = new AssignmentIndex(store);
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  assert.deepEqual(
    [...index.keys("node1")],
    ["network:network-a", "endpoint:a/network-a", "task:a"],
  );
  await put("task", inState(TaskState.FAILED));
  assert.deepEqual([...index.keys("node1")], ["task:a"]);
  await remove("task", inState(TaskState.FAILED));
  assert.deepEqual([...index.keys("node1")], []);
});

test("A node has the secrets of its tasks alone, before the tasks, and for as long as they run", async () => {
  const { store, put } = openTestStore();
  await put("node", testNode(1));
  await put("secret", ...secrets);
  const index = new AssignmentIndex(store);
  const told: string[] = [];
  index.listen("node1", (key) => told.push(key));
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  const reads = (id: string, nodeId: string, state: TaskState, secretId: string) =>
    testTask(id, {
      nodeId,
      status: { state },
      spec: testTaskSpec({
        runtime: { case: "container", value: { image: "busybox", secrets: [{ secretId }] } },
      }),
    });
  await put("task", reads("a", "node1", TaskState.ASSIGNED, "s0"));
  await put("task", reads("b", "node1", TaskState.ASSIGNED, "s0"));
  await put("task", reads("c", "node2", TaskState.ASSIGNED, "s1"));
  assert.deepEqual(told, ["secret:s0", "task:a", "task:b"]);
  assert.deepEqual([...index.keys("node1")], ["secret:s0", "task:a", "task:b"]);
  assert.equal(index.item("node1", "secret:s1"), undefined);
  await put("task", reads("a", "node1", TaskState.FAILED, "s0"));
  assert.deepEqual([...index.keys("node1")], ["secret:s0", "task:a", "task:b"]);
  await put("task", reads("b", "node1", TaskState.COMPLETE, "s0"));
  assert.deepEqual([...index.keys("node1")], ["task:a", "task:b"]);
  assert.equal(told.at(-1), "secret:s0");
});

test("A commit about one network tells nothing to nodes that are not on it", async () => {
  const { store, put } = openTestStore();
  await put("network", ...networks);
  await put("node", testNode(1), testNode(2), testNode(3));
  const [a, b] = networks;
  const on = (id: string, nodeId: string, network: Network | undefined) =>
    testTask(id, {
      nodeId,
      status: { state: TaskState.ASSIGNED },
      networks: [{ network: network as Network, addresses: ["10.0.1.2/24"] }],
    });
  await put("task", on("x", "node1", a), on("y", "node2", a), on("z", "node3", b));
  const index = new AssignmentIndex(store);
  const told = new Map<string, string[]>();
  for (const nodeId of ["node1", "node2", "node3"]) {
    told.set(nodeId, []);
    index.listen(nodeId, (key) => told.get(nodeId)?.push(key));
  }
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  await put("task", {
    ...on("x", "node1", a),
    status: testTask("", { status: { state: TaskState.RUNNING } }).status,
  });
  const key = "endpoint:x/network-a";
  assert.deepEqual(Object.fromEntries(told), { node1: [key], node2: [key], node3: [] });
});

test("A node that joined and never held a session is nobody's peer", async () => {
  const { store, put } = openTestStore();
  const { status: _, ...joined } = testNode(2);
  await put("node", testNode(1), joined);
  assert.deepEqual([...new AssignmentIndex(store).keys("node1")], []);
});

test("A service is told to its networks' nodes alone, with the networks that each is on", async () => {
  const { store, put } = openTestStore();
  await put("network", ...networks);
  await put("node", testNode(1), testNode(2), testNode(3));
  const on = (id: string, nodeId: string, network: Network | undefined) =>
    testTask(id, {
      nodeId,
      status: { state: TaskState.ASSIGNED },
      networks: [{ network: network as Network, addresses: ["10.0.1.2/24"] }],
    });
  await put("task", on("x", "node1", networks[0]), on("y", "node2", networks[1]));
  const index = new AssignmentIndex(store);
  const told = new Map<string, string[]>();
  for (const nodeId of ["node1", "node2", "node3"]) {
    told.set(nodeId, []);
    index.listen(nodeId, (key) => told.get(nodeId)?.push(key));
  }
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  await put("service", serviceOn("web", ["a", "b"]));
  const key = "service:service-web";
  assert.deepEqual(Object.fromEntries(told), { node1: [key], node2: [key], node3: [] });
  const networksFor = (nodeId: string) => {
    const item = index.item(nodeId, key)?.item;
    return item?.case === "service" ? item.value.networks.map(({ networkId }) => networkId) : [];
  };
  assert.deepEqual(networksFor("node1"), ["network-a"]);
  assert.deepEqual(networksFor("node2"), ["network-b"]);
  assert.equal(index.item("node3", key), undefined);
});

test("Published ports are told to every node, with the network and the endpoints that they lead to", async () => {
  const { store, put } = openTestStore();
  await put("network", ...networks, ingress);
  await put("node", testNode(1), testNode(2));
  const task = testTask("x", {
    nodeId: "node1",
    status: { state: TaskState.RUNNING },
    networks: [{ network: networks[0] as Network, addresses: ["10.0.0.2/24", "fd00::2/64"] }],
  });
  await put("task", task);
  const index = new AssignmentIndex(store);
  const told: string[] = [];
  index.listen("node2", (key) => told.push(key));
  using _watch = store.watch((commit) => {
    for (const change of commit.changes) index.onChange(change);
  });
  const has = () => [...index.keys("node2")].filter((key) => !key.startsWith("peer:"));
  await put("service", serviceOn("web", ["a"]));
  assert.deepEqual([told, has()], [[], []]);
  await put("service", serviceOn("web", ["a"], { port: 8080 }));
  const all = ["service:service-web", "network:network-a", "endpoint:x/network-a"];
  assert.deepEqual(told, all);
  assert.deepEqual(new Set(has()), new Set(all));
  const service = index.item("node2", "service:service-web")?.item;
  assert.ok(service?.case === "service");
  assert.deepEqual([service.value.networks, service.value.ports.length], [[], 1]);
  const endpoint = index.item("node2", "endpoint:x/network-a")?.item;
  assert.ok(endpoint?.case === "endpoint");
  assert.deepEqual([endpoint.value.address, endpoint.value.address6], ["10.0.0.2", "fd00::2"]);
  await put("service", serviceOn("web", [], { port: 8080 }));
  assert.deepEqual(has(), ["network:network-ingress", "service:service-web"]);
});
