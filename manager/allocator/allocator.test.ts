import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ClusterSchema, type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointSpecSchema,
  type PortConfigSchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  openTestStore,
  testNetwork,
  testNode,
  testService,
  testTask,
  testTaskSpec,
} from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { Allocator } from "./allocator.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };
const endpoint = (given: MessageInitShape<typeof PortConfigSchema>[]) =>
  create(EndpointSpecSchema, { ports: given });
const specOf = ({ spec }: Service): ServiceSpec => spec ?? create(ServiceSpecSchema);
const onNet = { spec: testTaskSpec({ networks: [{ target: "net", aliases: ["db"] }] }) };

test("A full network's task waits with a reason and gets its address when one is freed", async () => {
  const { store, put, remove } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("network", testNetwork("net", "10.7.0.0/29"));
  const tasks = Array.from({ length: 6 }, (_, index) => testTask(`task${index}`, onNet));
  await put("task", ...tasks);
  await untilStore(store, (view) => view.get("task", "task5")?.status?.err !== "");
  assert.equal(
    store.get("task", "task5")?.status?.err,
    'network "net" has no free address: 5 of 5 in 10.7.0.0/29 are in use',
  );
  const addresses = store.list("task").flatMap(({ networks }) => networks[0]?.addresses ?? []);
  assert.deepEqual(
    addresses.toSorted(),
    [2, 3, 4, 5, 6].map((last) => `10.7.0.${last}/29`),
  );
  const [first] = tasks;
  assert.ok(first);
  await remove("task", first);
  await untilStore(store, (view) => view.get("task", "task5")?.status?.state === TaskState.PENDING);
  const [attachment] = store.get("task", "task5")?.networks ?? [];
  assert.deepEqual(attachment?.addresses, ["10.7.0.2/29"]);
  assert.deepEqual(attachment?.aliases, ["db"]);
  assert.equal(store.get("task", "task5")?.status?.err, "");
});

test("A new allocator knows the addresses that an earlier one gave", async () => {
  const { store, put } = openTestStore();
  await using before = new Allocator({ ...ports, store });
  await put("network", testNetwork("net"));
  await put("task", testTask("a", onNet));
  await untilStore(store, (view) => view.get("task", "a")?.status?.state === TaskState.PENDING);
  await before[Symbol.asyncDispose]();

  await using _after = new Allocator({ ...ports, store });
  await put("task", testTask("b", onNet));
  await untilStore(store, (view) => view.get("task", "b")?.status?.state === TaskState.PENDING);
  assert.deepEqual(store.get("task", "a")?.networks[0]?.addresses, ["10.0.0.2/24"]);
  assert.deepEqual(store.get("task", "b")?.networks[0]?.addresses, ["10.0.0.3/24"]);
});

test("A task waits for a network that does not exist yet", async () => {
  const { store, put } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("task", testTask("a", onNet));
  await untilStore(store, (view) => view.get("task", "a")?.status?.err !== "");
  assert.equal(store.get("task", "a")?.status?.err, 'network "net" does not exist');
  await put("network", testNetwork("net"));
  await untilStore(store, (view) => view.get("task", "a")?.status?.state === TaskState.PENDING);
});

test("A task waits for a network that finds no subnet, and says which pools are full", async () => {
  const { store, put, remove } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  const network = { defaultAddressPools: ["10.0.0.0/24"], subnetSize: 24 };
  await put("cluster", create(ClusterSchema, { id: "cluster", spec: { network } }));
  const other = testNetwork("other");
  await put("network", other);
  await put("network", testNetwork("net"));
  await put("task", testTask("a", onNet));
  await untilStore(store, (view) => view.get("task", "a")?.status?.err !== "");
  assert.match(
    store.get("task", "a")?.status?.err ?? "",
    /^network "net" has no subnet: no \/24 subnet is free in the address pools 10\.0\.0\.0\/24: /,
  );
  await remove("network", other);
  await untilStore(store, (view) => view.get("task", "a")?.status?.state === TaskState.PENDING);
});

test("A task of several networks has all of its addresses or none", async () => {
  const { store, put } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("network", testNetwork("net"));
  const spec = testTaskSpec({ networks: [{ target: "net" }, { target: "other" }] });
  await put("task", testTask("a", { spec }));
  await untilStore(store, (view) => view.get("task", "a")?.status?.err !== "");
  await put("task", testTask("b", onNet));
  await untilStore(store, (view) => view.get("task", "b")?.status?.state === TaskState.PENDING);
  assert.deepEqual(store.get("task", "b")?.networks[0]?.addresses, ["10.0.0.2/24"]);
  assert.deepEqual(store.get("task", "a")?.networks, []);
});

test("A service gets a virtual address and its ports, and its tasks wait with the reason when there is none", async () => {
  const { store, put, remove } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("network", testNetwork("net", "10.7.0.0/29"));
  await put("task", ...Array.from({ length: 5 }, (_, index) => testTask(`old${index}`, onNet)));
  await untilStore(store, (view) => view.get("task", "old4")?.status?.state === TaskState.PENDING);
  const service = testService({ name: "shop", task: { networks: [{ target: "net" }] } });
  const port = { targetPort: 80, publishedPort: 8080 };
  await put("service", { ...service, spec: { ...specOf(service), endpoint: endpoint([port]) } });
  await put("task", testTask("new", { ...onNet, serviceId: service.id }));
  await untilStore(store, (view) => view.get("task", "new")?.status?.err !== "");
  assert.equal(
    store.get("task", "new")?.status?.err,
    'network "net" has no free address for the service itself: 5 of 5 in 10.7.0.0/29 are in use',
  );
  assert.deepEqual(store.get("service", service.id)?.endpoint?.ports, endpoint([port]).ports);

  await remove("task", testTask("old0"), testTask("old1"));
  await untilStore(store, (view) => view.get("task", "new")?.status?.state === TaskState.PENDING);
  const [vip] = store.get("service", service.id)?.endpoint?.virtualIps ?? [];
  const [attachment] = store.get("task", "new")?.networks ?? [];
  const held = new Set([vip?.address, ...(attachment?.addresses ?? [])]);
  assert.deepEqual(held, new Set(["10.7.0.2/29", "10.7.0.3/29"]));
  assert.deepEqual(store.get("task", "new")?.endpoint?.ports, endpoint([port]).ports);
});

test("Of two services with one port the second waits until the first gives it up", async () => {
  const { store, put, remove } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  const published = endpoint([{ targetPort: 80, publishedPort: 8080 }]);
  const [web, shop] = ["web", "shop"].map((name) => {
    const service = testService({ name, task: { networks: [{ target: "net" }] } });
    return { ...service, spec: { ...specOf(service), endpoint: published } };
  });
  assert.ok(web && shop);
  await put("network", testNetwork("net"));
  await put("service", web);
  await put("service", shop);
  await put("task", testTask("b", { ...onNet, serviceId: shop.id }));
  await untilStore(store, (view) => view.get("task", "b")?.status?.err !== "");
  assert.equal(
    store.get("task", "b")?.status?.err,
    'port 8080/tcp is already published by service "web"',
  );
  await remove("service", web);
  await untilStore(store, (view) => view.get("task", "b")?.status?.state === TaskState.PENDING);
  assert.deepEqual(store.get("service", shop.id)?.endpoint?.ports, published.ports);
});

test("A node that comes with an address of a network's subnet is told of once", async () => {
  const { store, put } = openTestStore();
  const said: string[] = [];
  const log = { ...silentLog, warn: (message: string) => said.push(message) };
  await using _allocator = new Allocator({ ...ports, log, store });
  await put("network", testNetwork("net", "10.7.0.0/24"));
  await untilStore(store, (view) => view.byName("network", "net")?.ipam !== undefined);
  const node = (...addresses: string[]) =>
    testNode(7, { description: { hostname: "h7", addresses } });
  await put("node", node("192.0.2.7", "10.7.0.9", "no address"));
  await put("node", node("10.7.0.9"));
  assert.deepEqual(said, [
    'subnet 10.7.0.0/24 of network "net" has 10.7.0.9 in it, an address of node "h7": make the network anew with another --subnet',
  ]);
});
