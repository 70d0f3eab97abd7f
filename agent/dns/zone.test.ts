import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { IpFamily, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork } from "#proto/main-network.ts";
import { type Asker, Zone, type ZoneState } from "./zone.ts";

const endpoint = (parts: MessageInitShape<typeof NetworkEndpointSchema>) =>
  create(NetworkEndpointSchema, { serving: true, networkId: "front", ...parts });

const named = (id: string, spec: { internal?: boolean; ingress?: boolean }, subnet: string) =>
  create(NetworkSchema, {
    id,
    spec: { ...spec, annotations: { name: id } },
    ipam: { configs: [{ subnet }] },
  });

const networks = [
  create(NetworkSchema, {
    id: "front",
    spec: { annotations: { name: "Front.Net" } },
    ipam: {
      configs: [{ subnet: "10.0.1.0/24" }, { family: IpFamily.IPV6, subnet: "fd00:1::/64" }],
    },
  }),
  named("back", { internal: true }, "10.0.2.0/24"),
  named("ingress", { ingress: true }, "10.0.16.0/20"),
];

const web = (number: number, more: MessageInitShape<typeof NetworkEndpointSchema> = {}) =>
  endpoint({
    taskId: `w${number}`,
    serviceId: "web",
    serviceName: "Web",
    taskName: `web.${number}.x`,
    slot: BigInt(number),
    address: `10.0.1.${number}`,
    address6: `fd00:1::${number}`,
    aliases: ["WWW"],
    ...more,
  });

const client = { taskId: "c", serviceName: "client", taskName: "client.1.c" };
const state: ZoneState = {
  networks,
  services: [
    create(ServiceEndpointSchema, {
      id: "shop",
      name: "shop",
      networks: [
        {
          networkId: "front",
          virtualIp: "10.0.1.100",
          virtualIp6: "fd00:1::100",
          aliases: ["store", "www"],
        },
      ],
    }),
    create(ServiceEndpointSchema, { id: "web", name: "Web", networks: [{ networkId: "front" }] }),
    create(ServiceEndpointSchema, {
      id: "idle",
      name: "idle",
      networks: [{ networkId: "front", virtualIp: "10.0.1.101" }],
    }),
  ],
  endpoints: [
    web(1),
    web(2),
    web(3, { serving: false }),
    endpoint({
      taskId: "s1",
      serviceId: "shop",
      serviceName: "shop",
      taskName: "shop.1.s",
      slot: 1n,
      address: "10.0.1.11",
      aliases: ["store", "www"],
    }),
    endpoint({ ...client, address: "10.0.1.20" }),
    endpoint({ ...client, address: "10.0.2.20", networkId: "back" }),
    endpoint({
      taskId: "d",
      address: "10.0.2.5",
      networkId: "back",
      serviceName: "db",
      taskName: "db.1.d",
    }),
    endpoint({ taskId: "lone", address: "10.0.1.30", taskName: "lone", aliases: ["alone"] }),
    endpoint({ ...client, taskId: "i", address: "10.0.16.9", networkId: "ingress" }),
  ],
};

const zone = new Zone();
zone.update(state);

const fromFront = { networkId: "front", address: "10.0.1.1" };
const fromBoth = { networkId: "front", address: "10.0.1.20" };
const fromBack = { networkId: "back", address: "10.0.2.5" };

function addresses(asker: Asker, name: string, of = zone): readonly string[] | undefined {
  return of
    .view(asker)
    .find(name)
    ?.map(({ address }) => address)
    .sort();
}

describe("View.find()", () => {
  test("leads from a service with a virtual address to that, and from tasks' names to tasks", () => {
    for (const name of ["shop", "store", "shop.front.net"]) {
      assert.deepEqual(addresses(fromFront, name), ["10.0.1.100"], name);
    }
    for (const name of [
      "tasks.shop",
      "tasks.store",
      "1.shop",
      "shop.1.s",
      "tasks.shop.front.net",
    ]) {
      assert.deepEqual(addresses(fromFront, name), ["10.0.1.11"], name);
    }
    assert.equal(zone.view(fromFront).find("shop")?.[0]?.address6, "fd00:1::100");
  });

  test("leads from a service without one to its serving tasks, by both families", () => {
    for (const name of ["web", "tasks.web", "web.front.net"]) {
      assert.deepEqual(addresses(fromFront, name), ["10.0.1.1", "10.0.1.2"], name);
    }
    assert.deepEqual(addresses(fromFront, "web.2.x"), ["10.0.1.2"]);
    assert.deepEqual(addresses(fromFront, "2.web"), ["10.0.1.2"]);
    const six = zone.view(fromFront).find("web");
    assert.deepEqual(six?.map(({ address6 }) => address6).sort(), ["fd00:1::1", "fd00:1::2"]);
  });

  test("has of an alias that several services took all that they lead to", () => {
    assert.deepEqual(addresses(fromFront, "www"), ["10.0.1.1", "10.0.1.100", "10.0.1.2"]);
    assert.deepEqual(addresses(fromFront, "tasks.www"), ["10.0.1.1", "10.0.1.11", "10.0.1.2"]);
  });

  test("has the virtual address also when nothing serves, and no address for tasks that do not", () => {
    assert.deepEqual(addresses(fromFront, "idle"), ["10.0.1.101"]);
    assert.deepEqual(addresses(fromFront, "tasks.idle"), []);
    assert.deepEqual(addresses(fromFront, "3.web"), []);
  });

  test("knows a task that is of no service", () => {
    assert.deepEqual(addresses(fromFront, "lone"), ["10.0.1.30"]);
    assert.deepEqual(addresses(fromFront, "alone"), ["10.0.1.30"]);
    assert.equal(addresses(fromFront, "tasks."), undefined);
  });

  test("keeps the names of other networks from an asker that is not attached to them", () => {
    assert.equal(addresses(fromFront, "db"), undefined);
    assert.equal(addresses(fromFront, "db.back"), undefined);
    assert.equal(addresses({ networkId: "front", address: "10.0.1.77" }, "db"), undefined);
    assert.deepEqual(addresses(fromBoth, "db"), ["10.0.2.5"]);
    assert.deepEqual(addresses(fromBoth, "db.back"), ["10.0.2.5"]);
    assert.deepEqual(addresses(fromBoth, "client.back"), ["10.0.2.20"]);
    assert.deepEqual(addresses(fromBoth, "client.front.net"), ["10.0.1.20"]);
  });

  test("has no names on the ingress network and on a node's own", () => {
    const ingress = { networkId: "ingress", address: "10.0.16.9" };
    assert.equal(addresses(ingress, "client"), undefined);
    const local = new Zone();
    const here = endpoint({ ...client, networkId: "bridge", address: "172.17.0.2" });
    local.update({ networks: [localNetwork("bridge")], services: [], endpoints: [here] });
    const bridge = { networkId: "bridge", address: "172.17.0.2" };
    assert.equal(addresses(bridge, "client", local), undefined);
    for (const view of [zone.view(ingress), local.view(bridge)])
      assert.equal(view.mayForward, true);
  });

  test("lets nobody on internal networks alone ask the outside", () => {
    assert.equal(zone.view(fromBack).mayForward, false);
    assert.equal(zone.view({ networkId: "back", address: "10.0.2.20" }).mayForward, true);
    assert.equal(zone.view({ networkId: "gone", address: "10.0.2.20" }).mayForward, false);
  });

  test("is not confused by names of JavaScript's own", () => {
    for (const name of ["constructor", "__proto__", "", ".front.net"]) {
      assert.equal(addresses(fromFront, name), undefined);
    }
  });
});

describe("View.nameAt()", () => {
  test("names tasks and virtual addresses of the asker's networks, in both families", () => {
    const view = zone.view(fromFront);
    assert.deepEqual(view.nameAt("10.0.1.2"), { name: "web.2.x.Front.Net" });
    assert.deepEqual(view.nameAt("fd00:1::2"), { name: "web.2.x.Front.Net" });
    assert.deepEqual(view.nameAt("10.0.1.100"), { name: "shop.Front.Net" });
    assert.deepEqual(view.nameAt("fd00:1::100"), { name: "shop.Front.Net" });
  });

  test("says of the cluster's other addresses that nobody is there", () => {
    const view = zone.view(fromFront);
    for (const address of ["10.0.2.5", "10.0.1.200", "10.0.16.9", "fd00:1::200"]) {
      assert.equal(view.nameAt(address), "nobody", address);
    }
    for (const address of ["10.0.3.1", "192.0.2.1", "fd00:2::1"]) {
      assert.equal(view.nameAt(address), "elsewhere", address);
    }
  });
});

describe("Zone.update()", () => {
  test("comes to the same by steps as at once", () => {
    const stepped = new Zone();
    const steps: ZoneState[] = [
      { networks: [], services: [], endpoints: state.endpoints },
      { ...state, services: [], endpoints: [...state.endpoints].reverse() },
      { ...state, endpoints: [] },
      { networks: [], services: [], endpoints: [] },
      state,
    ];
    for (const step of steps) stepped.update(step);
    for (const name of ["web", "www", "shop", "tasks.shop", "2.web", "db", "lone", "idle"]) {
      assert.deepEqual(addresses(fromBoth, name, stepped), addresses(fromBoth, name), name);
    }
    stepped.update({ networks, services: [], endpoints: [] });
    for (const name of ["web", "www", "shop", "lone", "tasks.idle"]) {
      assert.equal(addresses(fromFront, name, stepped), undefined, name);
    }
  });

  test("comes to the same by any steps as at once", () => {
    const names = [
      "web",
      "www",
      "shop",
      "tasks.www",
      "2.web",
      "db",
      "lone",
      "idle",
      "web.front.net",
    ];
    const stepOf = fc.record({
      endpoints: fc.shuffledSubarray([...state.endpoints]),
      services: fc.shuffledSubarray([...state.services]),
      networks: fc.shuffledSubarray([...networks]),
    });
    fc.assert(
      fc.property(fc.array(stepOf, { minLength: 1, maxLength: 6 }), (steps) => {
        const [stepped, fresh] = [new Zone(), new Zone()];
        for (const step of steps) {
          stepped.update(step);
          for (const name of names) addresses(fromBoth, name, stepped);
        }
        fresh.update(steps.at(-1) ?? state);
        for (const name of names) {
          assert.deepEqual(
            addresses(fromBoth, name, stepped),
            addresses(fromBoth, name, fresh),
            name,
          );
        }
      }),
    );
  });

  test("follows a service that gives up its virtual address", () => {
    const changing = new Zone();
    changing.update(state);
    const shop = create(ServiceEndpointSchema, {
      id: "shop",
      name: "shop",
      networks: [{ networkId: "front" }],
    });
    changing.update({ ...state, services: [...state.services.slice(1), shop] });
    assert.deepEqual(addresses(fromFront, "shop", changing), ["10.0.1.11"]);
    assert.equal(changing.view(fromFront).nameAt("10.0.1.100"), "nobody");
  });

  test("leaves an address to the task that has it now", () => {
    const changing = new Zone();
    const next = web(1, { taskId: "n", taskName: "next", serviceName: "", aliases: [] });
    changing.update({ ...state, endpoints: [web(1)] });
    changing.update({ ...state, endpoints: [next] });
    assert.deepEqual(changing.view(fromFront).nameAt("10.0.1.1"), { name: "next.Front.Net" });
  });

  test("costs one change among 10,000 endpoints no more than passing over the others", () => {
    const many: NetworkEndpoint[] = Array.from({ length: 10_000 }, (_, index) =>
      web(index, { address: `10.0.${index >> 8}.${index & 255}` }),
    );
    const crowded = new Zone();
    crowded.update({ ...state, endpoints: many });
    const took = Array.from({ length: 20 }, (_, round) => {
      const startedAt = process.cpuUsage();
      crowded.update({ ...state, endpoints: many.with(round, web(round)) });
      const { user, system } = process.cpuUsage(startedAt);
      return (user + system) / 1_000;
    }).sort((a, b) => a - b);
    assert((took[10] ?? Infinity) < 10, `${took[10]} ms of CPU`);
  });
});
