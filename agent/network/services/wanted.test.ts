import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  type ServiceEndpoint,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { EndpointAffinity, PortConfigSchema, PortProtocol } from "#proto/gen/swarm/v1/types_pb.ts";
import { mapNames } from "./maps.ts";
import { emptyServices } from "./picture.ts";
import { planServices } from "./plan.ts";
import { newUdpPorts } from "./udp-ports.ts";
import { type ServicesInput, type WantedServices, wantedServices } from "./wanted.ts";

function service(
  id: string,
  init: MessageInitShape<typeof ServiceEndpointSchema> = {},
): ServiceEndpoint {
  return create(ServiceEndpointSchema, {
    id,
    name: `name-${id}`,
    networks: [{ networkId: "net", virtualIp: "10.1.0.2", virtualIp6: "fd00:1::2" }],
    publishedNetworkId: "net",
    ...init,
  });
}

function endpoint(
  serviceId: string,
  number: number,
  init: MessageInitShape<typeof NetworkEndpointSchema> = {},
): NetworkEndpoint {
  return create(NetworkEndpointSchema, {
    id: `task${number}/net`,
    taskId: `task${number}`,
    networkId: "net",
    nodeId: number % 2 === 0 ? "here" : "there",
    address: `10.1.0.${100 + number}`,
    address6: `fd00:1::${100 + number}`,
    serviceId,
    serving: true,
    ...init,
  });
}

function input(init: Partial<ServicesInput>): ServicesInput {
  const networkIds = new Set(["net", "other"]);
  return { nodeId: "here", networkIds, services: [], endpoints: [], hostPorts: [], ...init };
}

const web = { publishedPort: 8080, targetPort: 80, protocol: PortProtocol.TCP };
const names = { publishedPort: 5353, targetPort: 53, protocol: PortProtocol.UDP };

test("services, an address leads to the tasks that serve on its network, of its own family", async () => {
  const wanted = await wantedServices(
    input({
      services: [service("s")],
      endpoints: [
        endpoint("s", 1),
        endpoint("s", 2, { address6: "" }),
        endpoint("s", 3, { serving: false }),
        endpoint("s", 4, { networkId: "other" }),
        endpoint("another", 5),
      ],
    }),
    emptyServices,
  );
  const { vip, vip6 } = wanted.maps;
  assert.deepEqual([...vip.keys()], ["10.1.0.2"]);
  assert.deepEqual(new Set(vip.get("10.1.0.2")), new Set(["10.1.0.101", "10.1.0.102"]));
  assert.deepEqual(new Set(vip6.get("fd00:1::2")), new Set(["fd00:1::101"]));
  assert.deepEqual(wanted.sets.hairpin, new Set(["10.1.0.102 . 10.1.0.102"]));
  assert.deepEqual(wanted.sets.hairpin6, new Set());
  assert.deepEqual(wanted.refusals, []);
});

test("services, a published port leads to its target in both families, and is known without backends", async () => {
  const published = service("s", { networks: [], ports: [web, names] });
  const bare = await wantedServices(input({ services: [published] }), emptyServices);
  assert.deepEqual(bare.sets.ports, new Set(["tcp . 8080", "udp . 5353"]));
  assert(mapNames.every((name) => bare.maps[name].size === 0));
  const endpoints = [endpoint("s", 1)];
  const { maps } = await wantedServices(input({ services: [published], endpoints }), bare);
  assert.deepEqual(new Set(maps.pub.get("tcp . 8080")), new Set(["10.1.0.101 . 80"]));
  assert.deepEqual(new Set(maps.pub6.get("udp . 5353")), new Set(["fd00:1::101 . 53"]));
});

test("services, a port of one host address is that address' alone", async () => {
  const ports = ["127.0.0.1", "FD00:0::1", "0.0.0.0"].map((hostIp, index) => ({
    ...web,
    publishedPort: 8080 + index,
    hostIp,
  }));
  const { maps, sets } = await wantedServices(
    input({ services: [service("s", { ports })], endpoints: [endpoint("s", 1)] }),
    emptyServices,
  );
  assert.deepEqual([...maps.pubip.keys()], ["127.0.0.1 . tcp . 8080"]);
  assert.deepEqual([...maps.pubip6.keys()], ["fd00::1 . tcp . 8081"]);
  assert.deepEqual([...maps.pub.keys()], ["tcp . 8082"]);
  assert.deepEqual([maps.pub6.size, sets.ports.size], [0, 0]);
});

test("services, affinity has maps of its own, and all hosts deal alike", async () => {
  const services = [service("s", { affinity: EndpointAffinity.CLIENT_IP, ports: [web] })];
  const endpoints = [endpoint("s", 1), endpoint("s", 2)];
  const here = await wantedServices(input({ services, endpoints }), emptyServices);
  const there = await wantedServices(
    input({ services, endpoints: endpoints.toReversed(), nodeId: "there" }),
    emptyServices,
  );
  assert.equal(here.maps.vipa.get("10.1.0.2")?.length, 1020);
  assert.equal(here.maps.puba6.get("tcp . 8080")?.length, 1020);
  assert.deepEqual(here.maps, there.maps);
  assert.equal(here.maps.vip.size + here.maps.pub.size, 0);
});

test("services, a task's own port leads to it while it is attached, and to itself by hairpin", async () => {
  const port = create(PortConfigSchema, { ...web, hostIp: "10.99.0.2" });
  const addresses = ["10.1.0.102", "fd00:1::102"];
  const { maps, sets } = await wantedServices(
    input({ hostPorts: [{ taskId: "task2", port, addresses }] }),
    emptyServices,
  );
  const key = "10.99.0.2 . tcp . 8080";
  assert.deepEqual(new Set(maps.pubip.get(key)), new Set(["10.1.0.102 . 80"]));
  assert.deepEqual(sets.hairpin, new Set(["10.1.0.102 . 10.1.0.102"]));
});

test("services, of two that want one port the first by ID has it until it goes", async () => {
  const a = service("a", { networks: [], ports: [web] });
  const b = service("b", { networks: [], ports: [names, web] });
  const endpoints = [endpoint("a", 1), endpoint("b", 2)];
  const both = await wantedServices(input({ services: [b, a], endpoints }), emptyServices);
  assert.deepEqual(new Set(both.maps.pub.get("tcp . 8080")), new Set(["10.1.0.101 . 80"]));
  assert.equal(both.maps.pub.has("udp . 5353"), true);
  assert.deepEqual(
    both.refusals.map(({ message }) => message),
    [
      'service "name-b" does not get port 8080/tcp on this host: service "name-a" has it; publish another port',
    ],
  );
  const alone = await wantedServices(input({ services: [b], endpoints }), both);
  assert.deepEqual(new Set(alone.maps.pub.get("tcp . 8080")), new Set(["10.1.0.102 . 80"]));
  assert.deepEqual(alone.refusals, []);
});

test("services, one that makes no sense is refused by itself", async () => {
  const wanted = await wantedServices(
    input({
      services: [
        service("a", { networks: [{ networkId: "net", virtualIp: "10.1.0.2; flush ruleset" }] }),
        service("b", { networks: [], ports: [{ ...web, targetPort: 0 }] }),
        service("c", { networks: [{ networkId: "net", virtualIp: "10.1.0.3" }] }),
      ],
      endpoints: [endpoint("b", 1), endpoint("c", 2)],
    }),
    emptyServices,
  );
  assert.deepEqual([...wanted.maps.vip.keys()], ["10.1.0.3"]);
  assert.deepEqual(
    wanted.refusals.map(({ code }) => code),
    ["invalid-argument", "invalid-argument"],
  );
});

test("services, a network that this host does not carry leads nowhere", async () => {
  const services = [service("s", { ports: [web] })];
  const { maps, sets } = await wantedServices(
    input({ services, endpoints: [endpoint("s", 2)], networkIds: new Set() }),
    emptyServices,
  );
  assert(mapNames.every((name) => maps[name].size === 0));
  assert.deepEqual([sets.ports.size, sets.hairpin.size], [1, 0]);
});

test("services, after any change slots lead to all that serve and nobody else, and the rest stands untouched", async () => {
  const services = Array.from({ length: 4 }, (_, index) =>
    service(`s${index}`, {
      networks: [{ networkId: "net", virtualIp: `10.1.1.${index + 1}` }],
      ports: [{ ...web, publishedPort: 9000 + index }],
    }),
  );
  const all = Array.from({ length: 24 }, (_, number) => endpoint(`s${number % 4}`, number));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.subarray(all), { minLength: 2, maxLength: 4 }), async (states) => {
      let standing = await wantedServices(input({}), emptyServices);
      for (const endpoints of states) {
        const wanted = await wantedServices(input({ services, endpoints }), standing);
        for (const [index, { id }] of services.entries()) {
          const own = endpoints.filter(({ serviceId }) => serviceId === id);
          const vip = wanted.maps.vip.get(`10.1.1.${index + 1}`);
          assert.deepEqual(new Set(vip), new Set(own.map(({ address }) => address)));
        }
        const again = await wantedServices(input({ services, endpoints }), wanted);
        for (const [key, slots] of wanted.maps.pub) assert.equal(again.maps.pub.get(key), slots);
        assert.deepEqual(await planServices(wanted, again), []);
        standing = wanted;
      }
    }),
    { numRuns: 50 },
  );
});

test("services, what comes of the states before is what comes of the last one alone", async () => {
  const ports = fc.subarray([web, names, { ...web, publishedPort: 90, hostIp: "192.0.2.1" }]);
  const services = fc.array(fc.record({ id: fc.nat(3), vip: fc.nat(3), ports }), { maxLength: 3 });
  const endpoints = fc.array(
    fc.record({ id: fc.nat(3), number: fc.nat(7), serving: fc.boolean() }),
    { maxLength: 5 },
  );
  const networkIds = fc.subarray(["net", "other"]).map((ids) => new Set(ids));
  const step = fc.record({
    services,
    endpoints,
    gone: fc.nat(9),
    hostPort: fc.nat(4),
    networkIds: fc.oneof({ weight: 4, arbitrary: fc.constant(new Set(["net"])) }, networkIds),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const known = new Map<string, ServiceEndpoint>();
      const all = new Map<number, NetworkEndpoint>();
      let standing = await wantedServices(input({}), emptyServices);
      for (const { services: some, endpoints: changed, gone, hostPort, ...carried } of steps) {
        for (const { id, vip, ports: own } of some) {
          const networks = [{ networkId: "net", virtualIp: `10.1.1.${vip}` }];
          known.set(`s${id}`, service(`s${id}`, { networks, ports: own }));
        }
        for (const { id, number, serving } of changed) {
          all.set(number, endpoint(`s${id}`, number, { serving }));
        }
        all.delete(gone);
        const port = create(PortConfigSchema, web);
        const hostPorts =
          hostPort === 0 ? [{ taskId: "task", port, addresses: ["10.1.0.100"] }] : [];
        const state = input({
          services: [...known.values()],
          endpoints: [...all.values()],
          hostPorts,
          ...carried,
        });
        const { maps, sets } = standing;
        standing = await wantedServices(state, standing);
        const alone = await wantedServices(state, { maps, sets });
        assert.deepEqual(contents(standing), contents(alone));
      }
    }),
    { numRuns: 200 },
  );
});

/** Without the order of slots, which depends on what stood before. */
function contents({ maps, sets, refusals }: WantedServices) {
  const backends = mapNames.map((name) =>
    [...maps[name]]
      .map(([key, slots]) => `${key} ${[...new Set(slots)].map(String).sort().join()}`)
      .sort(),
  );
  return { backends, sets, refusals: refusals.map(({ message }) => message) };
}

test("services, when one task of 2,000 × 20 goes, its slots change and no other service is looked into", async () => {
  const services = Array.from({ length: 2_000 }, (_, index) =>
    service(`s${index}`, {
      networks: [{ networkId: "net", virtualIp: `10.2.${index >> 8}.${index & 255}` }],
      ports: [{ ...web, publishedPort: 10_000 + index }],
    }),
  );
  const endpoints = Array.from({ length: 40_000 }, (_, index) =>
    endpoint(`s${index % 2_000}`, index, {
      address: `10.${3 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
      address6: "",
    }),
  );
  const all = await wantedServices(input({ services, endpoints }), emptyServices);
  const fewer = await wantedServices(
    input({ services, endpoints: endpoints.toSpliced(7, 1) }),
    all,
  );
  const lines = await planServices(all, fewer);
  assert.deepEqual(
    lines.map((line) => [line.split(" ", 1)[0], line.split(",").length]),
    [
      ["delete", 3],
      ["delete", 3],
      ["add", 3],
      ["add", 3],
    ],
  );
  for (const [id, part] of all.parts) {
    if (id === "s7") assert.notEqual(fewer.parts.get(id), part);
    else assert.equal(fewer.parts.get(id), part);
  }
});

test("services, UDP ports that are new are told from those that had no backend", async () => {
  const ports = [names, web, { ...names, hostIp: "10.9.0.1", publishedPort: 54 }];
  const services = [service("s", { networks: [], ports })];
  const bare = await wantedServices(input({ services }), emptyServices);
  const endpoints = [endpoint("s", 1)];
  const served = await wantedServices(input({ services, endpoints }), bare);
  const everywhere = ["127.0.0.1", "10.9.0.1"].map((address) => ({ address, port: 5353 }));
  const one = { address: "10.9.0.1", port: 54 };
  assert.deepEqual(newUdpPorts(emptyServices, bare, ["10.9.0.1"]), everywhere);
  assert.deepEqual(newUdpPorts(bare, served, ["10.9.0.1"]), [one]);
  assert.deepEqual(newUdpPorts(emptyServices, served, ["10.9.0.1"]), [...everywhere, one]);
  assert.deepEqual(newUdpPorts(served, served, ["10.9.0.1"]), []);
});
