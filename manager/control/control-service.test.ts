import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  CreateNetworkRequestSchema,
  CreateServiceRequestSchema,
  GetNetworkRequestSchema,
  GetNodeRequestSchema,
  GetServiceRequestSchema,
  GetTaskRequestSchema,
  ListNetworksRequestSchema,
  ListServicesRequestSchema,
  ListTasksRequestSchema,
  RemoveNetworkRequestSchema,
  RemoveServiceRequestSchema,
  UpdateServiceRequestSchema,
  WatchRequestSchema,
  type WatchResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { type Service, StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointSpecSchema,
  NetworkSchema,
  NodeState,
  TaskState,
  UpdateState,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { testNetwork, testNode, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { type ControlGround, openControl } from "./testing/control-ground.ts";

function spec(name = "web", replicas = 1n, image = "nginx"): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name, labels: { stage: "test" } },
    task: testTaskSpec({ runtime: { case: "container", value: { image } } }),
    mode: { case: "replicated", value: { replicas } },
  });
}

async function createService({ api, context, store }: ControlGround, given = spec()) {
  await api.createService(create(CreateServiceRequestSchema, { spec: given }), context);
  const service = store.byName("service", given.annotations?.name ?? "");
  assert.ok(service);
  return service;
}

function updateRequest(service: Service, given: ServiceSpec, version = service.meta?.version) {
  return create(UpdateServiceRequestSchema, {
    ref: service.id,
    spec: given,
    ...(version === undefined ? {} : { version }),
  });
}

test("service, created it is found by ID, by the beginning of the ID, and by name", async () => {
  const ground = openControl();
  const { id } = await createService(ground);
  for (const ref of [id, id.slice(0, 6), "web"]) {
    const request = create(GetServiceRequestSchema, { ref });
    const { service } = await ground.api.getService(request, ground.context);
    assert.equal(service?.id, id);
  }
});

test("service, a taken name is refused as existing", async () => {
  const ground = openControl();
  await createService(ground);
  await assert.rejects(createService(ground), {
    code: "already-exists",
    message: 'a service named "web" exists already',
  });
});

test("service, of two creations with one name at the same time one is refused", async () => {
  const ground = openControl();
  const outcomes = await Promise.allSettled([createService(ground), createService(ground)]);
  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
  assert.equal(ground.store.list("service").length, 1);
});

test("service, of two at the same time with one port, or with one address, one is refused", async () => {
  const ground = openControl();
  const ipam = { configs: [{ subnet: "10.9.0.0/24", gateway: "10.9.0.1" }] };
  const net = create(NetworkSchema, { id: "net1", spec: { annotations: { name: "net" } }, ipam });
  const ingress = create(NetworkSchema, { id: "net2", spec: { ingress: true } });
  await ground.put("network", net, ingress);
  const endpoint = create(EndpointSpecSchema, { ports: [{ targetPort: 80, publishedPort: 8080 }] });
  const networks = [{ target: "net", addresses: ["10.9.0.9"] }];
  const refusedOf = async (wish: (name: string) => ServiceSpec, names: readonly string[]) => {
    const outcomes = await Promise.allSettled(
      names.map((name) => createService(ground, wish(name))),
    );
    return outcomes.flatMap((one) => (one.status === "rejected" ? String(one.reason) : []));
  };
  const onPort = await refusedOf((name) => ({ ...spec(name), endpoint }), ["a", "b"]);
  assert.match(onPort.join(), /^[^,]*port 8080\/tcp is already published by service "a"[^,]*/);
  assert.equal(onPort.length, 1);
  const runtime = spec().task?.runtime ?? { case: undefined };
  const task = testTaskSpec({ runtime, networks });
  const onAddress = await refusedOf((name) => ({ ...spec(name), task }), ["c", "d"]);
  assert.match(onAddress.join(), /address 10\.9\.0\.9 of network "net" is in use by service "c"/);
  assert.equal(onAddress.length, 1);
});

test("network, of two at the same time with one subnet one is refused", async () => {
  const { api, context, store } = openControl();
  const ipam = { configs: [{ subnet: "10.9.0.0/24" }] };
  const made = ["a", "b"].map((name) =>
    api.createNetwork(
      create(CreateNetworkRequestSchema, { spec: { annotations: { name }, ipam } }),
      context,
    ),
  );
  const outcomes = await Promise.allSettled(made);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  assert.equal(store.list("network").length, 1);
});

test("service, an unknown reference is not found; an ambiguous one lists the candidates", async () => {
  const { api, context, put } = openControl();
  const get = (ref: string) => api.getNode(create(GetNodeRequestSchema, { ref }), context);
  await put("node", testNode(1), testNode(2));
  await assert.rejects(get("db"), { code: "not-found", message: 'node "db" not found' });
  await assert.rejects(get(""), { code: "invalid-argument" });
  await assert.rejects(get("node"), {
    code: "invalid-argument",
    message: 'node "node" is ambiguous, it matches node1 (h1), node2 (h2): write more of the ID',
  });
  assert.equal((await get("h2")).node?.id, "node2");
});

test("service, an update keeps the former spec and names the version that it read", async () => {
  const ground = openControl();
  const before = await createService(ground);
  assert.equal(before.specVersion?.index, 0n);
  await ground.api.updateService(updateRequest(before, spec("web", 3n)), ground.context);
  const after = ground.store.get("service", before.id);
  assert.deepEqual(after?.previousSpec, before.spec);
  assert.deepEqual(after?.previousSpecVersion, before.specVersion);
  assert.equal(after?.specVersion?.index, before.meta?.version?.index);
});

test("service, an update that changes nothing writes nothing", async () => {
  const ground = openControl();
  const before = await createService(ground);
  await ground.api.updateService(updateRequest(before, spec()), ground.context);
  assert.equal(ground.store.get("service", before.id), before);
});

test("service, a rollback changes places with the former spec, and a second one changes back", async () => {
  const ground = openControl();
  const made = await createService(ground);
  const rollBack = async () => {
    const { id, meta } = ground.store.byName("service", "web") ?? made;
    const version = meta?.version ?? { index: 0n };
    const request = create(UpdateServiceRequestSchema, { ref: id, version, rollback: true });
    const { service } = await ground.api.updateService(request, ground.context);
    return service;
  };
  await assert.rejects(rollBack(), {
    code: "failed-precondition",
    message: 'Cannot roll back service "web": there is no spec before the present one',
  });
  await ground.api.updateService(updateRequest(made, spec("web", 3n)), ground.context);
  for (const replicas of [1n, 3n]) {
    const service = await rollBack();
    const mode = service?.spec?.mode;
    assert.equal(mode?.case === "replicated" && mode.value.replicas, replicas);
    const { state, message } = service?.updateStatus ?? {};
    assert.deepEqual(
      [state, message],
      [UpdateState.ROLLBACK_STARTED, "manually requested rollback"],
    );
  }
});

test("service, an update that changes nothing lets a paused one go on", async () => {
  const ground = openControl();
  const made = await createService(ground);
  const updateStatus = create(UpdateStatusSchema, { state: UpdateState.PAUSED });
  await ground.put("service", { ...made, updateStatus });
  const paused = ground.store.get("service", made.id);
  assert.ok(paused);
  await ground.api.updateService(updateRequest(paused, spec()), ground.context);
  const after = ground.store.get("service", made.id);
  assert.equal(after?.updateStatus, undefined);
  assert.deepEqual(after?.specVersion, paused.specVersion);
});

test("service, an update of a version that is not the newest is out of sequence", async () => {
  const ground = openControl();
  const before = await createService(ground);
  await ground.api.updateService(updateRequest(before, spec("web", 2n)), ground.context);
  await assert.rejects(
    ground.api.updateService(updateRequest(before, spec("web", 3n)), ground.context),
    {
      code: "conflict",
      message: 'update out of sequence: service "web" is at version 2, not 1; read it again',
    },
  );
  const request = create(UpdateServiceRequestSchema, { ref: before.id, spec: spec() });
  await assert.rejects(ground.api.updateService(request, ground.context), /version is missing/);
});

test("service, neither its name nor its mode can be changed", async () => {
  const ground = openControl();
  const before = await createService(ground);
  await assert.rejects(
    ground.api.updateService(updateRequest(before, spec("shop")), ground.context),
    { code: "unimplemented", message: /Cannot rename service "web" to "shop"/ },
  );
});

test("service, removed it is gone and its tasks are left to the orchestrator", async () => {
  const ground = openControl();
  const { id } = await createService(ground);
  await ground.put("task", testTask("t1", { serviceId: id }));
  const request = create(RemoveServiceRequestSchema, { ref: "web" });
  assert.deepEqual(await ground.api.removeService(request, ground.context), { serviceId: id });
  assert.deepEqual(ground.store.list("service"), []);
  assert.equal(ground.store.list("task").length, 1);
});

test("service list, counts running, desired and completed tasks; filters by labels", async () => {
  const ground = openControl();
  const { id } = await createService(ground, spec("web", 5n));
  const tasks = [
    [TaskState.RUNNING, TaskState.RUNNING],
    [TaskState.RUNNING, TaskState.SHUTDOWN],
    [TaskState.COMPLETE, TaskState.SHUTDOWN],
    [TaskState.PENDING, TaskState.RUNNING],
  ] as const;
  for (const [index, [state, desiredState]] of tasks.entries()) {
    await ground.put(
      "task",
      testTask(`t${index}`, { serviceId: id, status: { state }, desiredState }),
    );
  }
  const list = (labels: Record<string, string>) =>
    ground.api.listServices(create(ListServicesRequestSchema, { labels }), ground.context);
  const { statuses } = await list({ stage: "" });
  const [status] = statuses ?? [];
  assert.deepEqual(
    [status?.runningTasks, status?.desiredTasks, status?.completedTasks],
    [1n, 5n, 1n],
  );
  assert.equal((await list({ stage: "test" })).services?.length, 1);
  assert.equal((await list({ stage: "other" })).services?.length, 0);
});

test("task, by its slot's name the newest one is meant", async () => {
  const { api, context, put } = openControl();
  const of = (id: string, slot: bigint) =>
    testTask(id, { slot, serviceAnnotations: { name: "web" }, nodeId: "node1" });
  await put("task", of("old", 1n));
  await put("task", of("other", 2n), of("new", 1n));
  const get = async (ref: string) =>
    (await api.getTask(create(GetTaskRequestSchema, { ref }), context)).task?.id;
  assert.equal(await get("web.1"), "new");
  assert.equal(await get("web.1.old"), "old");
  await assert.rejects(get("web.3"), { code: "not-found" });
});

test("task list, by service, by node, and only those that shall run", async () => {
  const { api, context, put } = openControl();
  await put("node", testNode(1), testNode(2));
  await put("task", testTask("a", { nodeId: "node1" }), testTask("b", { nodeId: "node2" }));
  await put("task", testTask("c", { nodeId: "node1", desiredState: TaskState.SHUTDOWN }));
  const list = async (init: MessageInitShape<typeof ListTasksRequestSchema>) =>
    (await api.listTasks(create(ListTasksRequestSchema, init), context)).tasks?.map(({ id }) => id);
  assert.deepEqual(await list({}), ["a", "b", "c"]);
  assert.deepEqual(await list({ nodeRef: "h1" }), ["a", "c"]);
  assert.deepEqual(await list({ nodeRef: "h1", runningOnly: true }), ["a"]);
  await assert.rejects(list({ serviceRef: "none" }), { code: "not-found" });
});

test("network, created, found, and not removed while a service or a task uses it", async () => {
  const ground = openControl();
  const { api, context, store, put } = ground;
  const request = { spec: { annotations: { name: "net" } } };
  await api.createNetwork(create(CreateNetworkRequestSchema, request), context);
  await assert.rejects(api.createNetwork(create(CreateNetworkRequestSchema, request), context), {
    code: "already-exists",
  });
  const network = store.byName("network", "net");
  assert.ok(network);
  const got = await api.getNetwork(create(GetNetworkRequestSchema, { ref: "net" }), context);
  assert.equal(got.network?.id, network.id);
  const given = spec();
  await createService(ground, {
    ...given,
    task: testTaskSpec({
      runtime: { case: "container", value: { image: "a" } },
      networks: [{ target: "net" }],
    }),
  });
  const drop = () => api.removeNetwork(create(RemoveNetworkRequestSchema, { ref: "net" }), context);
  await assert.rejects(drop(), {
    code: "failed-precondition",
    message: 'Cannot remove network "net": it is used by service "web"',
  });
  const task = testTask("t1", { networks: [{ network }], serviceAnnotations: { name: "web" } });
  await put("task", task);
  await api.removeService(create(RemoveServiceRequestSchema, { ref: "web" }), context);
  await assert.rejects(drop(), { message: /used by task "web\.1"/ });
  // Nobody will ever say that a task has stopped whose node is lost.
  const stopping = { ...task, nodeId: "node1", desiredState: TaskState.REMOVE };
  await put("node", testNode(1));
  await put("task", stopping);
  await assert.rejects(drop(), { message: /used by task "web\.1"/ });
  await put("node", testNode(1, { status: { state: NodeState.DOWN } }));
  await drop();
  const { networks } = await api.listNetworks(create(ListNetworksRequestSchema), context);
  assert.deepEqual(
    networks?.map(({ id }) => id),
    ["bridge", "host", "none"],
  );
});

test("network, those of each host are found by name, and stay", async () => {
  const { client } = openControl();
  const { network } = await client.getNetwork({ ref: "host" });
  assert.equal(network?.spec?.driverConfig?.name, "host");
  await assert.rejects(client.removeNetwork({ ref: "host" }), {
    code: "failed-precondition",
    message: 'Cannot remove network "host": every host has it of its own',
  });
});

const published = (name: string, publishedPort: number) =>
  create(ServiceSpecSchema, {
    ...spec(name),
    endpoint: create(EndpointSpecSchema, { ports: [{ targetPort: 80, publishedPort }] }),
  });

test("network, the ingress network is removed only while no service publishes through it", async () => {
  const ground = openControl();
  const ingress = { annotations: { name: "ingress" }, ingress: true };
  await assert.rejects(createService(ground, published("web", 8080)), {
    code: "failed-precondition",
    message: /the cluster has no ingress network.* --ingress/,
  });
  await ground.client.createNetwork({ spec: ingress });
  await createService(ground, published("web", 8080));
  await assert.rejects(ground.client.removeNetwork({ ref: "ingress" }), {
    message: 'Cannot remove network "ingress": it is used by service "web"',
  });
  const task = testTaskSpec({ networks: [{ target: "ingress" }] });
  await assert.rejects(createService(ground, { ...spec("shop"), task }), {
    message: /"ingress" is the ingress network, which no service names: publish a port/,
  });
  await ground.client.removeService({ ref: "web" });
  await ground.client.removeNetwork({ ref: "ingress" });
});

test("service, a port that another publishes is refused with that one's name, also in an update", async () => {
  const ground = openControl();
  await ground.client.createNetwork({ spec: { annotations: { name: "in" }, ingress: true } });
  await createService(ground, published("web", 8080));
  const refusal = {
    code: "failed-precondition",
    message: /^port 8080\/tcp is already published by service "web"/,
  };
  await assert.rejects(createService(ground, published("shop", 8080)), refusal);
  const shop = await createService(ground, published("shop", 8081));
  const update = (port: number) =>
    ground.api.updateService(updateRequest(shop, published("shop", port)), ground.context);
  await assert.rejects(update(8080), refusal);
  await update(8081);
  await update(8082);
});

test("network, a subnet that another has is refused with the other's name", async () => {
  const { api, context, put } = openControl();
  await put("network", testNetwork("front", "10.0.1.0/24"));
  const spec = { annotations: { name: "net" }, ipam: { configs: [{ subnet: "10.0.1.128/25" }] } };
  await assert.rejects(
    api.createNetwork(create(CreateNetworkRequestSchema, { spec }), context),
    /overlaps with 10\.0\.1\.0\/24 of network "front"/,
  );
});

type WatchMessage = MessageInitShape<typeof WatchResponseSchema>;

/** "create service 1" */
function seen({ events }: WatchMessage): string[] {
  const verbs = new Map<number, string>(
    Object.entries(StoreActionKind).map(([verb, n]) => [n, verb]),
  );
  return (events ?? []).map(({ action }) => {
    const object = action?.object?.object;
    return `${verbs.get(action?.kind ?? 0)} ${object?.case} ${object?.value?.id}`;
  });
}

test("watch, the present state comes first, then every commit of the wanted kinds", async () => {
  const { api, context, put, remove, controller } = openControl();
  await put("node", testNode(1));
  await put("network", testNetwork("net"));
  const request = create(WatchRequestSchema, { kinds: ["node", "task"] });
  const watch = api.watch(request, context)[Symbol.asyncIterator]();
  const next = async () => seen((await watch.next()).value as WatchMessage);
  assert.deepEqual(await next(), ["CREATE node node1"]);
  await put("network", testNetwork("other"));
  await put("node", testNode(1));
  await put("task", testTask("t1"));
  await remove("task", testTask("t1"));
  assert.deepEqual(await next(), ["UPDATE node node1"]);
  assert.deepEqual(await next(), ["CREATE task t1"]);
  assert.deepEqual(await next(), ["REMOVE task t1"]);
  const waiting = watch.next();
  controller.abort();
  assert.equal((await waiting).done, true);
});

test("watch, a large state comes in several messages of which the last names the version", async () => {
  const { api, context, put, store } = openControl();
  await put("task", ...Array.from({ length: 2500 }, (_, index) => testTask(`t${index}`)));
  const watch = api.watch(create(WatchRequestSchema), context)[Symbol.asyncIterator]();
  const messages: WatchMessage[] = [];
  while (messages.at(-1)?.version === undefined) {
    messages.push((await watch.next()).value as WatchMessage);
  }
  assert.deepEqual(
    messages.map(({ events }) => events?.length),
    [1000, 1000, 500],
  );
  assert.equal(messages.at(-1)?.version?.index, store.index);
  await watch.return?.();
});

test("watch, who does not keep up is told to watch again", async () => {
  const { api, context, put } = openControl();
  const watch = api.watch(create(WatchRequestSchema), context)[Symbol.asyncIterator]();
  await watch.next();
  for (let round = 0; round < 11; round++) {
    await put("task", ...Array.from({ length: 2000 }, (_, index) => testTask(`t${index}`)));
  }
  await assert.rejects(watch.next(), { code: "resource-exhausted", message: /watch again/ });
});

test("watch, an unknown kind is refused", async () => {
  const { api, context } = openControl();
  const watch = async () => {
    const request = create(WatchRequestSchema, { kinds: ["pod"] });
    for await (const _ of api.watch(request, context)) return;
  };
  await assert.rejects(watch, /Cannot watch kind "pod"/);
});
