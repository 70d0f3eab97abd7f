import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  IpamOptionsSchema,
  type NetworkAttachmentConfigSchema,
  NodeState,
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
import { completeAttachments } from "./validate-attachments.ts";

type Init = Omit<MessageInitShape<typeof NetworkAttachmentConfigSchema>, "$typeName" | "$unknown">;

const { store, put } = openTestStore();
const net = {
  ...testNetwork("net"),
  ipam: create(IpamOptionsSchema, {
    configs: [
      {
        subnet: "10.1.0.0/24",
        gateway: "10.1.0.1",
        range: "10.1.0.128/25",
        reserved: { router: "10.1.0.254" },
      },
      { subnet: "fd00:1::/64", gateway: "fd00:1::1" },
    ],
  }),
};
await put("network", net, testNetwork("plain"), testNetwork("fresh", "10.3.0.0/24"));
const running = { state: TaskState.RUNNING };
const attached = [{ network: net, addresses: ["10.1.0.9/24"] }];
await put("service", testService({ name: "db" }));
await put("node", testNode(1, { status: { state: NodeState.DOWN } }));
await put(
  "task",
  testTask("leaving", {
    networks: [{ network: net, addresses: ["10.1.0.10/24"] }],
    status: running,
    desiredState: TaskState.REMOVE,
  }),
  testTask("orphan", {
    networks: [{ network: net, addresses: ["10.1.0.12/24"] }],
    status: running,
    serviceId: "gone",
  }),
  testTask("lost", {
    networks: [{ network: net, addresses: ["10.1.0.11/24"] }],
    status: running,
    nodeId: "node1",
    serviceId: "service-db",
  }),
  testTask("t1", {
    networks: attached,
    status: running,
    serviceId: "service-db",
    serviceAnnotations: { name: "db" },
  }),
);

function complete(networks: Init[], { replicas = 1n, serviceId = "" } = {}): string[] {
  const spec = create(ServiceSpecSchema, {
    mode: { case: "replicated", value: { replicas } },
    task: testTaskSpec({ networks }),
  });
  return completeAttachments(spec, { serviceId, view: store }).map(({ target }) => target);
}

test("attachments, each kind of network is accepted, and a short ID is completed", () => {
  assert.deepEqual(complete([{ target: "net", aliases: ["db"] }, { target: "bridge" }]), [
    "net",
    "bridge",
  ]);
  assert.deepEqual(complete([{ target: "host" }]), ["host"]);
  assert.deepEqual(complete([{ target: "network-n" }]), ["network-net"]);
  assert.deepEqual(complete([{ target: "network-net" }]), ["network-net"]);
});

test("attachments, static addresses may lie outside the range, and are the service's own", () => {
  const addresses = ["10.1.0.5", "10.1.0.200", "fd00:1::5", "fd00:1::6"];
  complete([{ target: "net", addresses }], { replicas: 2n });
  complete([{ target: "net", addresses: ["10.1.0.9"] }], { serviceId: "service-db" });
  complete([{ target: "fresh", addresses: ["10.3.0.9"] }]);
});

test("attachments, what a task that leaves or is lost has may be asked for by another service", () => {
  complete([{ target: "net", addresses: ["10.1.0.10", "10.1.0.11", "10.1.0.12"] }]);
});

const refused = [
  [
    [{ target: "net", addresses: ["10.1.0.254"] }],
    /is 10\.1\.0\.254, which network "net" reserves/,
  ],
  [
    [{ target: "fresh", addresses: ["fd00:1::5"] }],
    /\[0\] is fd00:1::5: network "fresh" has no IPv6/,
  ],
  [[{ target: "nowhere" }], /"nowhere" is not a network: create it first/],
  [[{ target: "host" }, { target: "net" }], /"host" is the host's own network, and stands alone/],
  [[{ target: "net" }, { target: "none" }], /"none" is no network, and stands alone/],
  [[{ target: "bridge", aliases: ["a"] }], /aliases are given, but nobody asks/],
  [[{ target: "bridge", addresses: ["172.17.0.5"] }], /addresses are given, but network "bridge"/],
  [[{ target: "net", addresses: ["ten"] }], /addresses\[0\]: "ten" is not an IP address/],
  [[{ target: "net", addresses: ["FD00:1::5"] }], /is "FD00:1::5": write fd00:1::5/],
  [[{ target: "net", addresses: ["10.2.0.5"] }], /is 10\.2\.0\.5: network "net" gives tasks/],
  [[{ target: "net", addresses: ["10.1.0.1"] }], /without its first, its last and the gateway's/],
  [[{ target: "net", addresses: ["10.1.0.5", "10.1.0.5"] }], /\[1\] is 10\.1\.0\.5, as an earlier/],
  [
    [{ target: "net", addresses: ["10.1.0.9"] }],
    /10\.1\.0\.9 of network "net" is in use by task "db\.1"/,
  ],
  [[{ target: "fresh", addresses: ["10.3.0.1"] }], /without its first, its last and the gateway's/],
  [[{ target: "plain", addresses: ["10.1.0.9"] }], /network "plain" has no subnet yet: try again/],
] as const;
for (const [networks, message] of refused) {
  test(`attachments, refused: ${message.source}`, () => {
    const given = networks.map((one) => {
      const { aliases = [], addresses = [] } = one as { aliases?: string[]; addresses?: string[] };
      return { target: one.target, aliases: [...aliases], addresses: [...addresses] };
    });
    assert.throws(() => complete(given), { name: "Fault", message });
  });
}

test("attachments, replicas without a static address of their own are refused", () => {
  const addresses = ["10.1.0.5", "10.1.0.6", "fd00:1::5"];
  assert.throws(() => complete([{ target: "net", addresses }], { replicas: 2n }), {
    code: "invalid-argument",
    message:
      "task.networks[0].addresses are 1 of IPv6 for 2 replicas, which have one each: give 1 more",
  });
});
