import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNetwork, testNode } from "../testing/fixtures.ts";
import { validateNetworkSpec } from "./validate-network.ts";

const { store, put } = openTestStore();
await put("network", testNetwork("front", "10.0.1.0/24"), testNetwork("plain"));
await put("node", testNode(7, { description: { hostname: "h7", addresses: ["10.8.0.7"] } }));

type Init = MessageInitShape<typeof NetworkSpecSchema>;

const spec = (init: Init = {}) =>
  create(NetworkSpecSchema, { annotations: { name: "back" }, ...init } as Init);
const subnet = (config: { subnet: string; gateway?: string; range?: string }) =>
  spec({ ipam: { configs: [config] } });

const options = (given: Record<string, string>) =>
  spec({ driverConfig: { name: "overlay", options: given } });

test("network spec, a name alone and a free subnet are accepted", () => {
  validateNetworkSpec(spec(), store);
  validateNetworkSpec(spec({ driverConfig: { name: "overlay" } }), store);
  validateNetworkSpec(spec({ internal: true, attachable: true }), store);
  validateNetworkSpec(subnet({ subnet: "10.0.2.0/24", gateway: "10.0.2.9" }), store);
  const configs = [{ subnet: "fd00:1::/64" }, { subnet: "10.0.2.0/24" }];
  validateNetworkSpec(spec({ ipv6Enabled: true, ipam: { configs } }), store);
  validateNetworkSpec(spec({ ingress: true }), store);
});

const refused = [
  [spec({ annotations: { name: "" } }), /annotations\.name is empty/],
  [spec({ annotations: { name: "a b" } }), /"a b" is not a DNS label/],
  [subnet({ subnet: "" }), /subnet is empty/],
  [subnet({ subnet: "ten" }), /ipam\.configs\[0\]: "ten" is not an IPv4 subnet/],
  [subnet({ subnet: "10.0.2.1/24" }), /has host bits set: write 10\.0\.2\.0\/24/],
  [subnet({ subnet: "10.0.2.0/31" }), /is not of a size from \/8 to \/29/],
  [
    spec({ annotations: { name: "back", labels: { a: "b".repeat(20_000) } } }),
    /^spec has 200\d\d bytes: use at most 16384/,
  ],
  [subnet({ subnet: "10.0.0.0/16" }), /overlaps with 10\.0\.1\.0\/24 of network "front"/],
  [subnet({ subnet: "10.0.2.0/24", gateway: "10.0.3.1" }), /10\.0\.3\.1 is not an address/],
  [subnet({ subnet: "10.0.2.0/24", range: "10.0.3.0/25" }), /is not inside subnet/],
  [subnet({ subnet: "10.8.0.0/16" }), /has 10\.8\.0\.7 in it, an address of node "h7"/],
  [subnet({ subnet: "fd00::/64" }), /is of IPv6, which is off/],
  [spec({ annotations: { name: "host" } }), /"host" is a network that every host has/],
  [spec({ ingress: true, attachable: true }), /attachable is on/],
  [spec({ ingress: true, internal: true }), /internal is on/],
  [options({ encrypted: "maybe" }), /"encrypted" is "maybe": use true or false/],
  [options({ "com.docker.network.driver.mtu": "500" }), /is "500": use a number of bytes/],
] as const;
for (const [given, message] of refused) {
  test(`network spec, refused: ${message.source}`, () => {
    assert.throws(() => validateNetworkSpec(given, store), {
      code: "invalid-argument",
      message,
    });
  });
}

const unsupported = [
  [spec({ driverConfig: { name: "macvlan" } }), /driver_config\.name "macvlan"/],
  [options({ a: "b" }), /driver_config\.options "a" is not supported/],
  [spec({ configFrom: { network: "front" } }), /^config_from is/],
] as const;
for (const [given, message] of unsupported) {
  test(`network spec, not supported yet: ${message.source}`, () => {
    assert.throws(() => validateNetworkSpec(given, store), { code: "unimplemented", message });
  });
}

test("network spec, Docker's option of the driver turns encryption on", () => {
  const { encrypted } = validateNetworkSpec(options({ encrypted: "" }), store);
  assert.equal(encrypted, true);
  assert.equal(validateNetworkSpec(options({ encrypted: "false" }), store).encrypted, false);
});

test("network spec, it is refused where no pool has a subnet for it", async () => {
  const ground = openTestStore();
  const network = { defaultAddressPools: ["10.0.1.0/24"], subnetSize: 24 };
  await ground.put("cluster", create(ClusterSchema, { id: "cluster", spec: { network } }));
  validateNetworkSpec(spec(), ground.store);
  await ground.put("network", testNetwork("front", "10.0.1.0/24"));
  assert.throws(() => validateNetworkSpec(spec(), ground.store), {
    code: "resource-exhausted",
    message: /^no \/24 subnet is free in the address pools 10\.0\.1\.0\/24: remove a network/,
  });
});

test("network spec, a second ingress network is refused by the first one's name", async () => {
  const ground = openTestStore();
  const ingress = testNetwork("mesh");
  if (ingress.spec !== undefined) ingress.spec.ingress = true;
  await ground.put("network", ingress);
  assert.throws(() => validateNetworkSpec(spec({ ingress: true }), ground.store), {
    code: "already-exists",
    message: /the cluster has an ingress network, "mesh"/,
  });
});
