import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { NetworkEndpointSchema, PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkAttachmentSchema, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { isAddress } from "#proto/ipv4.ts";
import { contains, parseSubnet } from "./subnet.ts";
import { parseAttachments, parseNetworkState, parseOverlay } from "./network-state.ts";

function network(
  id: string,
  subnet: string,
  gateway: string,
  spec: MessageInitShape<typeof NetworkSchema>["spec"] = {},
) {
  return create(NetworkSchema, { id, spec, ipam: { configs: [{ subnet, gateway }] } });
}

const peer = (number: number) =>
  create(PeerSchema, {
    nodeId: `node${number}`,
    number,
    dataPathAddress: `192.0.2.${number}`,
    addresses: [`198.51.100.${number}`, "2001:db8::1"],
  });

const front = network("front", "10.0.1.0/24", "10.0.1.1");

function hasCode(code: string) {
  return (error: unknown) => error instanceof Fault && error.code === code;
}

describe("parseNetworkState()", () => {
  const base = {
    self: peer(1),
    peers: [peer(1), peer(2)],
    networks: [front],
    endpoints: [],
    services: [],
    dataPathPort: 0,
  };

  test("leaves itself out of the peers and IPv6 out of the addresses", () => {
    const { peers } = parseNetworkState(base);
    assert.deepEqual(peers, [
      { id: "node2", number: 2, address: "192.0.2.2", addresses: ["192.0.2.2", "198.51.100.2"] },
    ]);
  });

  test("reaches the other peers when one makes no sense, and names that one", () => {
    const odd = create(PeerSchema, { nodeId: "odd", number: 70_000, dataPathAddress: "192.0.2.9" });
    const { peers, refusals } = parseNetworkState({ ...base, peers: [odd, peer(2)] });
    assert.deepEqual(
      peers.map(({ id }) => id),
      ["node2"],
    );
    assert.match(String(refusals[0]?.message), /^Cannot reach node "odd": .*number 70000/);
  });

  test("has ways to tasks on peers, of known networks, with an address of theirs", () => {
    const endpoint = (nodeId: string, networkId: string, address: string) =>
      create(NetworkEndpointSchema, { nodeId, networkId, address });
    const { remotes } = parseNetworkState({
      ...base,
      endpoints: [
        endpoint("node2", "front", "10.0.1.5"),
        endpoint("node1", "front", "10.0.1.6"),
        endpoint("node9", "front", "10.0.1.7"),
        endpoint("node2", "other", "10.0.1.8"),
        endpoint("node2", "front", "10.0.2.9"),
      ],
    });
    assert.deepEqual([...remotes.keys()], ["10.0.1.5"]);
  });

  test("refuses one network and carries the others", () => {
    const networks = [
      front,
      network("six", "10.0.2.0/24", "10.0.2.1", { ipv6Enabled: true }),
      network("secret", "10.0.3.0/24", "10.0.3.1", { encrypted: true }),
      network("twice", "10.0.0.0/16", "10.0.0.1"),
      network("last", "10.1.0.0/16", "10.1.0.1"),
    ];
    const { overlays, refusals } = parseNetworkState({ ...base, networks });
    assert.deepEqual(
      overlays.map(({ id }) => id),
      ["front", "last"],
    );
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ["unimplemented", "unimplemented", "failed-precondition"],
    );
  });

  test("refuses node numbers that no MAC has", () => {
    for (const number of [0, 0x4000]) {
      const state = { ...base, self: { ...peer(1), number } };
      assert.throws(() => parseNetworkState(state), hasCode("invalid-argument"));
    }
  });
});

describe("parseOverlay()", () => {
  test("refuses subnets and gateways that are none", () => {
    for (const [subnet, gateway] of [
      ["10.0.1.0/31", "10.0.1.0"],
      ["10.0.1.0", "10.0.1.1"],
      ["10.0.1.0/24", "10.0.2.1"],
      ["10.0.1.0/24", ""],
      ["fd00::/64", "fd00::1"],
      ["10.0.1.0/24\nnetns del x", "10.0.1.1"],
      ["10.0.1.0/24", "10.0.1.1\n"],
    ] as const) {
      assert.throws(() => parseOverlay(network("n", subnet, gateway)), hasCode("invalid-argument"));
    }
  });

  test("lets no text but addresses through", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.throws(() => parseOverlay(network("n", text, text)), Fault);
      }),
    );
  });
});

describe("parseAttachments()", () => {
  test("wants one address of the network that is not the gateway's", () => {
    const attach = (...addresses: string[]) =>
      parseAttachments([create(NetworkAttachmentSchema, { network: front, addresses })]);
    assert.equal(attach("10.0.1.5/24")[0]?.address, "10.0.1.5");
    for (const bad of ["10.0.2.5/24", "10.0.1.1/24", "x", "10.0.1.5\n/24"]) {
      assert.throws(() => attach(bad), Fault, bad);
    }
    assert.throws(() => attach(), hasCode("failed-precondition"));
  });
});

test("parseSubnet() holds the address it was made from", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, length) => {
      const subnet = parseSubnet(`${address}/${length}`);
      assert(contains(subnet, address));
      assert.deepEqual(parseSubnet(subnet.text), subnet);
      assert(isAddress(address));
    }),
  );
});
