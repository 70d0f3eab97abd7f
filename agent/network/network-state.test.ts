import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  PeerSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  IpFamily,
  type Network,
  NetworkAttachmentSchema,
  NetworkSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { formatAddress6 } from "#proto/ipv6.ts";
import { contains, parseSubnet } from "./subnet.ts";
import { parseAttachment, parseNetworkState, parseOverlay, ParseMemory } from "./network-state.ts";

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
    addresses: [`198.51.100.${number}`, "2001:DB8::1", "fe80::1"],
  });

const front = network("front", "10.0.1.0/24", "10.0.1.1");

const six = create(NetworkSchema, {
  id: "six",
  spec: { ipv6Enabled: true },
  ipam: {
    configs: [
      { family: IpFamily.IPV6, subnet: "fd00:2::/64", gateway: "fd00:2::1" },
      { family: IpFamily.IPV4, subnet: "10.0.2.0/24", gateway: "10.0.2.1" },
    ],
  },
});

const mtuSpec = (mtu: string) => ({
  driverConfig: { name: "overlay", options: { "com.docker.network.driver.mtu": mtu } },
});

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

  test("leaves itself out of the peers and sorts addresses by family", () => {
    const { peers } = parseNetworkState(base);
    assert.deepEqual(peers, [
      {
        id: "node2",
        number: 2,
        address: "192.0.2.2",
        addresses: ["192.0.2.2", "198.51.100.2"],
        addresses6: ["2001:db8::1"],
        encryptionKey: "",
      },
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

  test("looks into what has changed alone, and leaves out what is no address", () => {
    const memory = new ParseMemory();
    const endpoint = (address: string) =>
      create(NetworkEndpointSchema, { nodeId: "node2", networkId: "front", address });
    const remotes = (...endpoints: NetworkEndpoint[]) =>
      [...parseNetworkState({ ...base, endpoints }, memory).remotes.keys()].sort();
    const first = endpoint("10.0.1.5");
    assert.deepEqual(remotes(first, endpoint("10.0.1.x")), ["10.0.1.5"]);
    assert.deepEqual(remotes(first, endpoint("10.0.1.6")), ["10.0.1.5", "10.0.1.6"]);
    assert.deepEqual(remotes(endpoint("10.0.1.7")), ["10.0.1.7"]);
  });

  test("leads encrypted networks and both families over their devices", () => {
    const secret = network("secret", "10.0.3.0/24", "10.0.3.1", { encrypted: true });
    const endpoint = create(NetworkEndpointSchema, {
      nodeId: "node2",
      networkId: "six",
      address: "10.0.2.5",
      address6: "FD00:2::5",
    });
    const hidden = create(NetworkEndpointSchema, {
      nodeId: "node2",
      networkId: "secret",
      address: "10.0.3.5",
    });
    const { remotes } = parseNetworkState({
      ...base,
      networks: [secret, six],
      endpoints: [endpoint, hidden],
    });
    assert.deepEqual(
      [...remotes]
        .map(([address, { node, device }]) => `${address} ${node.number} ${device}`)
        .sort(),
      ["10.0.2.5 2 sw-vx0", "10.0.3.5 2 sw-vx1", "fd00:2::5 2 sw-vx0"],
    );
  });

  test("refuses one network and carries the others", () => {
    const networks = [
      front,
      create(NetworkSchema, { id: "none", ipam: { configs: [] } }),
      network("odd", "10.0.2.0/24", "10.0.2.1", mtuSpec("lots")),
      network("small", "10.0.2.0/24", "10.0.2.1", mtuSpec("500")),
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
      ["invalid-argument", "invalid-argument", "failed-precondition"],
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

describe("parseAttachment()", () => {
  const attach = (network: Network, ...addresses: string[]) =>
    parseAttachment(create(NetworkAttachmentSchema, { network, addresses }));

  test("wants one address of the network that is not the gateway's", () => {
    assert.deepEqual(attach(front, "10.0.1.5/24").addresses, ["10.0.1.5"]);
    for (const bad of ["10.0.2.5/24", "10.0.1.1/24", "x", "10.0.1.5\n/24", "fd00::5/64"]) {
      assert.throws(() => attach(front, bad), Fault, bad);
    }
    assert.throws(() => attach(front), hasCode("failed-precondition"));
  });

  test("takes one of each family, IPv4 first", () => {
    assert.deepEqual(attach(six, "FD00:2::5/64", "10.0.2.5/24").addresses, [
      "10.0.2.5",
      "fd00:2::5",
    ]);
    assert.throws(() => attach(six, "10.0.2.5/24", "10.0.2.6/24"), hasCode("failed-precondition"));
    assert.throws(() => attach(six, "10.0.2.5/24", "fd00:2::1/64"), hasCode("invalid-argument"));
  });
});

const ipv4 = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }));
const ipv6 = fc.tuple(
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(formatAddress6),
  fc.integer({ min: 0, max: 128 }),
);

test("parseSubnet() holds the address it was made from", () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), ([address, length]) => {
      const subnet = parseSubnet(`${address}/${length}`);
      assert(contains(subnet, address));
      assert.deepEqual(parseSubnet(subnet.text), subnet);
    }),
  );
});
