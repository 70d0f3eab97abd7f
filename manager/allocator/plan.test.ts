/** The plans for services and tasks, each committed before the next, as the allocator does it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { ClusterSchema, type Service, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  EndpointMode,
  EndpointSpecSchema,
  NetworkSchema,
  NodeState,
  type PortConfigSchema,
  PortProtocol,
  PublishMode,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  openTestStore,
  testNetwork,
  testNode,
  testService,
  testTask,
} from "../testing/fixtures.ts";
import { AddressBook } from "./address-book.ts";
import { planNetworks } from "./plan-networks.ts";
import { planServices } from "./plan-services.ts";
import { planTasks } from "./plan-tasks.ts";
import { automaticPorts, PortBook, portKey } from "./port-book.ts";

type Port = Omit<MessageInitShape<typeof PortConfigSchema>, "$typeName" | "$unknown">;
type Attachment = { target: string; aliases?: string[]; addresses?: string[] };

interface ServiceWish {
  readonly networks?: readonly Attachment[];
  readonly ports?: readonly Port[];
  readonly mode?: EndpointMode;
}

function openGround() {
  const test = openTestStore();
  const { store } = test;
  const books = { addresses: new AddressBook(store), ports: new PortBook(store) };
  store.watch(({ changes }) => {
    for (const change of changes) {
      books.addresses.onChange(change);
      books.ports.onChange(change);
    }
  });
  const context = () => ({
    view: store,
    ...books,
    blockedNetworks: new Map<string, string>(),
    nowMs: 1_000,
  });
  /** Why services and tasks lack something. */
  const allocate = async () => {
    const blockedServices = new Map<string, string>();
    await store.write(
      (view) =>
        planNetworks(
          view.list("network").filter(({ ipam }) => !ipam),
          view,
        ).actions,
    );
    await store.write((view) => {
      const plan = planServices(view.list("service"), context());
      for (const [id, reason] of plan.blocked) blockedServices.set(id, reason);
      return plan.actions;
    });
    await store.write((view) => {
      const waiting = view.list("task").filter(({ status }) => status?.state === TaskState.NEW);
      return planTasks(waiting, { ...context(), blockedServices }).actions;
    });
    return blockedServices;
  };
  const putService = async (name: string, { networks = [], ports = [], mode = 0 }: ServiceWish) => {
    const made = testService({ name, task: { networks: [...networks] } });
    const known = store.get("service", made.id);
    const service: Service = { ...made, ...(known?.endpoint && { endpoint: known.endpoint }) };
    if (service.spec !== undefined) {
      service.spec.endpoint = create(EndpointSpecSchema, { mode, ports: [...ports] });
    }
    await test.put("service", service);
    return service;
  };
  const putTask = async (service: Service, slot: number, id = `${service.id}.${slot}`) => {
    const spec = store.get("service", service.id)?.spec?.task;
    await test.put(
      "task",
      testTask(id, { serviceId: service.id, slot: BigInt(slot), ...(spec && { spec }) }),
    );
    return id;
  };
  return { ...test, books, allocate, putService, putTask };
}

const vipsOf = (service: Service | undefined) =>
  (service?.endpoint?.virtualIps ?? []).map(({ networkId, address }) => `${networkId} ${address}`);
const addressesOf = (task: Task | undefined) =>
  (task?.networks ?? []).flatMap(({ network, addresses }) =>
    `${network?.id} ${addresses.join(" ")}`.trim(),
  );
const numbersOf = (service: Service | undefined) =>
  (service?.endpoint?.ports ?? []).map(({ publishedPort }) => publishedPort);

const dualStack = create(NetworkSchema, {
  id: "network-dual",
  spec: {
    annotations: { name: "dual" },
    ipv6Enabled: true,
    ipam: { configs: [{ subnet: "10.5.0.0/24" }, { subnet: "fd00:5::/64" }] },
  },
});
const ingress = create(NetworkSchema, {
  id: "network-ingress",
  spec: {
    annotations: { name: "ingress" },
    ingress: true,
    ipam: { configs: [{ subnet: "10.6.0.0/24" }] },
  },
});

test("services and tasks have an address of each family of each network", async () => {
  const { store, put, allocate, putService, putTask } = openGround();
  await put("network", dualStack, testNetwork("net", "10.7.0.0/24"));
  const web = await putService("web", { networks: [{ target: "dual" }, { target: "net" }] });
  const task = await putTask(web, 1);
  await allocate();
  assert.deepEqual(vipsOf(store.get("service", web.id)), [
    "network-dual 10.5.0.2/24",
    "network-dual fd00:5::2/64",
    "network-net 10.7.0.2/24",
  ]);
  assert.deepEqual(addressesOf(store.get("task", task)), [
    "network-dual 10.5.0.3/24 fd00:5::3/64",
    "network-net 10.7.0.3/24",
  ]);
});

test("a network with a subnet of its own has it before others take theirs from the pools", async () => {
  const { store, put, allocate } = openGround();
  await put("network", testNetwork("a"), testNetwork("b", "10.0.0.0/24"), testNetwork("c"));
  await allocate();
  const subnets = store.list("network").map(({ ipam }) => ipam?.configs[0]?.subnet);
  assert.deepEqual(subnets, ["10.0.1.0/24", "10.0.0.0/24", "10.0.2.0/24"]);
});

test("virtual addresses stay over updates, follow networks, and go with the mode", async () => {
  const { store, put, allocate, putService } = openGround();
  await put("network", testNetwork("a", "10.7.0.0/24"), testNetwork("b", "10.8.0.0/24"));
  const update = async (wish: ServiceWish) => {
    const { id } = await putService("web", wish);
    await allocate();
    return vipsOf(store.get("service", id));
  };
  const [a, b] = [{ target: "a" }, { target: "b" }];
  assert.deepEqual(await update({ networks: [a] }), ["network-a 10.7.0.2/24"]);
  assert.deepEqual(await update({ networks: [b, { ...a, aliases: ["x"] }] }), [
    "network-b 10.8.0.2/24",
    "network-a 10.7.0.2/24",
  ]);
  assert.deepEqual(await update({ networks: [b], ports: [{ targetPort: 80 }] }), [
    "network-b 10.8.0.2/24",
  ]);
  assert.deepEqual(await update({ networks: [b], mode: EndpointMode.DNSRR }), []);
  // What was freed is the last to be given again.
  assert.deepEqual(await update({ networks: [a, b] }), [
    "network-a 10.7.0.3/24",
    "network-b 10.8.0.3/24",
  ]);
});

test("a service without networks is on the bridge, and on the ingress network if it publishes there", async () => {
  const { store, put, allocate, putService, putTask } = openGround();
  const networksOf = async (name: string, wish: ServiceWish) => {
    const task = await putTask(await putService(name, wish), 1);
    await allocate();
    const { err = "" } = store.get("task", task)?.status ?? {};
    return err === "" ? addressesOf(store.get("task", task)) : err;
  };
  const ports = [{ targetPort: 80 }];
  assert.match(String(await networksOf("early", { ports })), /the cluster has no ingress network/);
  await put("network", ingress, testNetwork("net", "10.7.0.0/24"));
  const own = [{ targetPort: 80, publishedPort: 80, publishMode: PublishMode.HOST }];
  assert.deepEqual(await networksOf("plain", { ports: own }), ["bridge"]);
  assert.deepEqual(await networksOf("web", { ports }), [
    "bridge",
    // The task that had to wait for the network was served first.
    "network-ingress 10.6.0.3/24",
  ]);
  assert.deepEqual(await networksOf("host", { networks: [{ target: "host" }] }), ["host"]);
  const overlay = { networks: [{ target: "net" }], ports };
  assert.deepEqual(await networksOf("api", overlay), ["network-net 10.7.0.3/24"]);
  assert.deepEqual(vipsOf(store.get("service", "service-web")), []);
});

test("slot N has the N-th of the given addresses, which nobody else gets", async () => {
  const { store, put, remove, allocate, putService, putTask } = openGround();
  await put("network", testNetwork("net", "10.7.0.0/29"));
  await put("node", testNode(1));
  const addresses = ["10.7.0.3", "10.7.0.2"];
  const db = await putService("db", { networks: [{ target: "net", addresses }] });
  const web = await putService("web", { networks: [{ target: "net" }] });
  for (const slot of [2, 1]) await putTask(db, slot);
  for (const slot of [1, 2]) await putTask(web, slot);
  await allocate();
  const given = (id: string) => addressesOf(store.get("task", id));
  const errOf = (id: string) => store.get("task", id)?.status?.err;
  assert.deepEqual(given("service-db.1"), ["network-net 10.7.0.3/29"]);
  assert.deepEqual(given("service-db.2"), ["network-net 10.7.0.2/29"]);
  assert.deepEqual(given("service-web.1"), ["network-net 10.7.0.6/29"]);
  assert.equal(
    errOf("service-web.2"),
    'network "net" has no free address: 5 of 5 in 10.7.0.0/29 are in use',
  );
  // Its successor waits for the address, unless the node of the task before is lost.
  const next = await putTask(db, 1, "next");
  await allocate();
  assert.match(errOf(next) ?? "", /^address 10\.7\.0\.3 of network "net" is in use by task/);
  const before = store.get("task", "service-db.1");
  assert.ok(before);
  await put("task", { ...before, nodeId: "node1" });
  await put("node", testNode(1, { status: { state: NodeState.DOWN } }));
  await allocate();
  assert.deepEqual(given(next), ["network-net 10.7.0.3/29"]);
  // One beyond the list has what its service keeps and no slot uses.
  await remove("task", ...["service-db.2"].map((id) => testTask(id)));
  await putTask(db, 7);
  await allocate();
  assert.deepEqual(given("service-db.7"), ["network-net 10.7.0.2/29"]);
});

test("a slot waits for its own address while its predecessor has it, be another slot's free", async () => {
  const { store, put, allocate, putService, putTask } = openGround();
  await put("network", testNetwork("net", "10.7.0.0/24"));
  const addresses = ["10.7.0.50", "10.7.0.51"];
  const db = await putService("db", { networks: [{ target: "net", addresses }] });
  await putTask(db, 1);
  await allocate();
  const first = store.get("task", "service-db.1");
  assert.ok(first);
  await put("task", { ...first, desiredState: TaskState.SHUTDOWN });
  const next = await putTask(db, 1, "next");
  await allocate();
  assert.match(
    store.get("task", next)?.status?.err ?? "",
    /^address 10\.7\.0\.50 .* in use by task/,
  );
  await put(
    "task",
    testTask(first.id, { desiredState: TaskState.SHUTDOWN, status: { state: TaskState.SHUTDOWN } }),
  );
  await allocate();
  assert.deepEqual(addressesOf(store.get("task", next)), ["network-net 10.7.0.50/24"]);
});

test("automatic ports come from their range, stay, and are no two services'", async () => {
  const { store, allocate, putService } = openGround();
  const { min } = automaticPorts;
  const dns: Port = { targetPort: 53, protocol: PortProtocol.UDP };
  const ports: Port[] = [{ targetPort: 80 }, { targetPort: 80 }, dns];
  const web = await putService("web", { ports });
  const api = await putService("api", { ports: [{ targetPort: 1, publishedPort: min + 3 }] });
  const more = await putService("more", { ports: [{ targetPort: 9 }, { targetPort: 10 }] });
  await allocate();
  const numbers = (service: Service) => numbersOf(store.get("service", service.id));
  assert.deepEqual(numbers(web), [min, min + 1, min + 2]);
  assert.deepEqual(numbers(api), [min + 3]);
  assert.deepEqual(numbers(more), [min + 4, min + 5]);
  await putService("web", { ports: [{ targetPort: 443 }, ...ports.slice(1)] });
  await allocate();
  assert.deepEqual(numbers(web), [min + 6, min, min + 2]);
});

test("no automatic port is one that nodes need themselves", async () => {
  const { store, put, allocate, putService } = openGround();
  const { min } = automaticPorts;
  const network = { dataPathPort: min };
  await put("cluster", create(ClusterSchema, { id: "cluster", spec: { network } }));
  const dns = await putService("dns", { ports: [{ targetPort: 53, protocol: PortProtocol.UDP }] });
  await allocate();
  assert.deepEqual(numbersOf(store.get("service", dns.id)), [min + 1]);
});

test("services of one plan share a port of mode host, and none of them one of mode ingress", async () => {
  const { store, allocate, putService } = openGround();
  const own = { targetPort: 80, publishedPort: 8080, publishMode: PublishMode.HOST };
  const [a, b] = [await putService("a", { ports: [own] }), await putService("b", { ports: [own] })];
  const mesh = await putService("mesh", { ports: [{ targetPort: 80, publishedPort: 8080 }] });
  const blocked = await allocate();
  assert.deepEqual(
    [a, b, mesh].map(({ id }) => numbersOf(store.get("service", id))),
    [[8080], [8080], []],
  );
  assert.deepEqual([...blocked.keys()], [mesh.id]);
});

test("no address and no port has two holders, whatever comes and goes, and what is freed can be had again", async () => {
  const name = fc.constantFrom("a", "b", "c", "d");
  const networks = fc.subarray(["net", "dual"]).map((names) => names.map((target) => ({ target })));
  const port: fc.Arbitrary<Port> = fc.record({
    targetPort: fc.integer({ min: 80, max: 82 }),
    publishedPort: fc.constantFrom(0, 8080, 8081),
  });
  const wish: fc.Arbitrary<ServiceWish> = fc.record({
    networks,
    ports: fc.uniqueArray(port, {
      maxLength: 3,
      selector: ({ publishedPort }) => publishedPort || {},
    }),
    mode: fc.constantFrom(EndpointMode.VIP, EndpointMode.DNSRR),
  });
  const step = fc.oneof(
    fc.record({ kind: fc.constant("service" as const), name, wish }),
    fc.record({ kind: fc.constant("task" as const), name, slot: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ kind: fc.constant("remove" as const), name }),
    fc.record({ kind: fc.constant("end" as const), name, slot: fc.integer({ min: 1, max: 6 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const ground = openGround();
      const { store, put, remove, allocate } = ground;
      await put("network", dualStack, ingress, testNetwork("net", "10.7.0.0/29"));
      for (const one of steps) {
        const id = `service-${one.name}`;
        const service = store.get("service", id);
        if (one.kind === "service") await ground.putService(one.name, one.wish);
        else if (service === undefined) continue;
        else if (one.kind === "task") await ground.putTask(service, one.slot);
        else if (one.kind === "end") await remove("task", testTask(`${id}.${one.slot}`));
        else await remove("service", service);
        const before = new Map(store.list("service").map((each) => [each.id, vipsOf(each)]));
        await allocate();
        assertOneHolderEach(ground.store);
        for (const each of store.list("service")) assertKept(each, before.get(each.id) ?? []);
        assertSameBooks(ground);
      }
      await remove("service", ...store.list("service"));
      await remove("task", ...store.list("task"));
      const pools = ["net", "dual"].flatMap((net) => [
        ...ground.books.addresses.poolsOf(`network-${net}`),
      ]);
      assert.ok(pools.every(({ used }) => used === 0n));
    }),
    { numRuns: 60 },
  );
});

type Ground = ReturnType<typeof openGround>;

function assertOneHolderEach(store: Ground["store"]): void {
  const held = [
    ...store.list("service").flatMap((service) => vipsOf(service)),
    ...store
      .list("task")
      .flatMap(({ networks }) =>
        networks.flatMap(({ network, addresses }) =>
          addresses.map((one) => `${network?.id} ${one}`),
        ),
      ),
  ];
  assert.equal(new Set(held).size, held.length);
  const ports = store.list("service").flatMap(({ endpoint }) => endpoint?.ports.map(portKey) ?? []);
  assert.equal(new Set(ports).size, ports.length);
}

/** Of the virtual addresses that it had, none is another one now. */
function assertKept(service: Service, before: readonly string[]): void {
  const targets = (service.spec?.task?.networks ?? []).map(({ target }) => `network-${target}`);
  const isDnsrr = service.spec?.endpoint?.mode === EndpointMode.DNSRR;
  const kept = before.filter((vip) => targets.some((id) => vip.startsWith(`${id} `)));
  const now = vipsOf(service);
  assert.ok(isDnsrr ? now.length === 0 : kept.every((vip) => now.includes(vip)));
}

/** Books that were folded are those that are made from scratch. */
function assertSameBooks({ store, books }: Ground): void {
  const scratch = new AddressBook(store);
  for (const { id } of store.list("network")) {
    const used = (book: AddressBook) => book.poolsOf(id).map((pool) => pool.used);
    assert.deepEqual(used(books.addresses), used(scratch));
  }
  const ports = new PortBook(store);
  const { min } = automaticPorts;
  for (const number of [8080, 8081, min, min + 1, min + 2, min + 3, min + 4]) {
    assert.equal(books.ports.isTaken(`${number}/tcp`), ports.isTaken(`${number}/tcp`));
  }
}
