import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { testNetwork } from "../testing/fixtures.ts";
import { validateNetworkSpec } from "./validate-network.ts";

const networks = [testNetwork("front", "10.0.1.0/24"), testNetwork("plain")];

type Init = MessageInitShape<typeof NetworkSpecSchema>;

const spec = (init: Init = {}) =>
  create(NetworkSpecSchema, { annotations: { name: "back" }, ...init } as Init);
const subnet = (config: { subnet: string; gateway?: string; range?: string }) =>
  spec({ ipam: { configs: [config] } });

test("network spec, a name alone and a free subnet are accepted", () => {
  validateNetworkSpec(spec(), networks);
  validateNetworkSpec(spec({ driverConfig: { name: "overlay" } }), networks);
  validateNetworkSpec(spec({ internal: true, attachable: true }), networks);
  validateNetworkSpec(subnet({ subnet: "10.0.2.0/24", gateway: "10.0.2.9" }), networks);
});

const refused = [
  [spec({ annotations: { name: "" } }), /annotations\.name is empty/],
  [spec({ annotations: { name: "a b" } }), /"a b" is not a DNS label/],
  [subnet({ subnet: "" }), /subnet is empty/],
  [subnet({ subnet: "ten" }), /ipam\.configs\[0\]: "ten" is not an IPv4 subnet/],
  [subnet({ subnet: "10.0.2.1/24" }), /has host bits set: write 10\.0\.2\.0\/24/],
  [subnet({ subnet: "10.0.2.0/31" }), /has no size from \/8 to \/29/],
  [subnet({ subnet: "10.0.0.0/16" }), /overlaps with 10\.0\.1\.0\/24 of network "front"/],
  [subnet({ subnet: "10.0.2.0/24", gateway: "10.0.3.1" }), /10\.0\.3\.1 is not an address/],
  [subnet({ subnet: "10.0.2.0/24", range: "10.0.3.0/25" }), /is not inside subnet/],
] as const;
for (const [given, message] of refused) {
  test(`network spec, refused: ${message.source}`, () => {
    assert.throws(() => validateNetworkSpec(given, networks), {
      code: "invalid-argument",
      message,
    });
  });
}

const unsupported = [
  [spec({ driverConfig: { name: "macvlan" } }), /driver_config\.name "macvlan"/],
  [spec({ driverConfig: { name: "overlay", options: { a: "b" } } }), /driver_config\.options/],
  [spec({ encrypted: true }), /^encrypted is/],
  [spec({ ingress: true }), /^ingress is/],
  [spec({ ipv6Enabled: true }), /^ipv6_enabled is/],
  [
    spec({ ipam: { configs: [{ subnet: "10.1.0.0/24" }, { subnet: "10.2.0.0/24" }] } }),
    /a second subnet is/,
  ],
] as const;
for (const [given, message] of unsupported) {
  test(`network spec, not supported yet: ${message.source}`, () => {
    assert.throws(() => validateNetworkSpec(given, networks), { code: "unimplemented", message });
  });
}
