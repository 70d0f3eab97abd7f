/** What is remembered of the states before makes a picture cheaper, and never another one than it would be without. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { NetworkEndpointSchema, PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  type DataPlane,
  DataPlaneMemory,
  emptyDataPlane,
  retainAttached,
  wantedDataPlane,
} from "./data-plane.ts";
import { encodePlaces, EncodingMemory, placesOf, PlacesMemory } from "./fastpath/places.ts";
import { type NetworkState, ParseMemory, parseNetworkState } from "./network-state.ts";

const peer = (number: number) =>
  create(PeerSchema, { nodeId: `n${number}`, number, dataPathAddress: `192.0.2.${number}` });

const network = (index: number, encrypted: boolean) =>
  create(NetworkSchema, {
    id: `net${index}`,
    spec: { encrypted },
    ipam: { configs: [{ subnet: `10.0.${index}.0/24`, gateway: `10.0.${index}.1` }] },
  });

/** Few of each, so that they meet: an address that two endpoints have, one on a node that is not there yet. */
const changes = fc.oneof(
  fc.record({ kind: fc.constant("peer" as const), number: fc.nat(2) }),
  fc.record({ kind: fc.constant("network" as const), number: fc.nat(2), encrypted: fc.boolean() }),
  fc.record({
    kind: fc.constant("endpoint" as const),
    id: fc.nat(12),
    network: fc.nat(2),
    node: fc.nat(3),
    host: fc.nat(5),
  }),
  fc.record({ kind: fc.constant("gone" as const), id: fc.nat(12) }),
);

const steps = fc.array(
  fc.record({
    changes: fc.array(changes, { maxLength: 4 }),
    encryption: fc.boolean(),
    attached: fc.array(fc.nat(5), { maxLength: 1 }),
    index: fc.nat(1),
    order: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);

type Change = typeof changes extends fc.Arbitrary<infer Value> ? Value : never;

class World {
  readonly #peers = new Map([2, 3].map((number) => [number, peer(number)] as const));
  readonly #networks = new Map([1, 2].map((index) => [index, network(index, false)] as const));
  readonly #endpoints = new Map<number, NetworkState["endpoints"][number]>();

  perform(change: Change): void {
    if (change.kind === "gone") this.#endpoints.delete(change.id);
    else if (change.kind === "peer") {
      const number = change.number + 2;
      if (!this.#peers.delete(number)) this.#peers.set(number, peer(number));
    } else if (change.kind === "network") {
      const index = change.number + 1;
      if (!this.#networks.delete(index))
        this.#networks.set(index, network(index, change.encrypted));
    } else {
      const parts = { networkId: `net${change.network + 1}`, nodeId: `n${change.node + 1}` };
      const address = `10.0.${change.network + 1}.${change.host}`;
      this.#endpoints.set(change.id, create(NetworkEndpointSchema, { ...parts, address }));
    }
  }

  state(order: boolean): NetworkState {
    const endpoints = [...this.#endpoints.values()];
    return {
      self: peer(1),
      peers: [...this.#peers.values()],
      networks: [...this.#networks.values()],
      endpoints: order ? endpoints : endpoints.reverse(),
      services: [],
      dataPathPort: 0,
    };
  }
}

function plain(plane: DataPlane) {
  return { ...plane, routes: new Map(plane.routes) };
}

test("pictures of states that follow each other are those of each state by itself", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const world = new World();
      const memory = new ParseMemory();
      const planes = new DataPlaneMemory();
      const places = new PlacesMemory();
      const encodings = new EncodingMemory();
      let before = emptyDataPlane;
      for (const { changes: some, encryption, attached, index, order } of all) {
        for (const change of some) world.perform(change);
        const state = world.state(order);
        const parsed = parseNetworkState(state, memory);
        const anew = parseNetworkState(state);
        assert.deepEqual(new Map(parsed.remotes), new Map(anew.remotes));
        const link = { device: "sw-wg0", address: "169.254.64.1", mtu: 1420 };
        const options = {
          port: 4789,
          underlayMtu: 1500,
          encryption: encryption ? link : undefined,
          ipv6: false,
          advertised: [],
        };
        const addresses = attached.map((host) => `10.0.1.${host}`);
        const plane = retainAttached(wantedDataPlane(parsed, options, planes), before, addresses);
        const alone = retainAttached(wantedDataPlane(anew, options), before, addresses);
        assert.deepEqual(plain(plane), plain(alone));
        const veths = new Map([["v-one", addresses]]);
        const indices = new Map([
          ["sw-vx0", 7 + index],
          ["v-one", 9],
        ]);
        const values = encodePlaces(placesOf(plane, veths, places), indices, encodings);
        const wanted = encodePlaces(placesOf(alone, veths), indices);
        assert.deepEqual(new Map(values), new Map(wanted));
        before = plane;
      }
    }),
    { numRuns: 300 },
  );
});

test("of a state that repeats the one before in new lists the picture is the same object in all its parts", () => {
  const world = new World();
  world.perform({ kind: "endpoint", id: 1, network: 0, node: 1, host: 5 });
  const memory = new ParseMemory();
  const planes = new DataPlaneMemory();
  const options = {
    port: 1,
    underlayMtu: 1500,
    encryption: undefined,
    ipv6: false,
    advertised: [],
  };
  const planeOf = () =>
    wantedDataPlane(parseNetworkState(world.state(true), memory), options, planes);
  const one = planeOf();
  const other = planeOf();
  assert.equal(one.routes.size, 1);
  for (const [place, part] of one.routes.parts.entries()) {
    assert.equal(part, other.routes.parts[place]);
  }
  assert.equal(one.elements, other.elements);
  assert.equal(one.neighbours, other.neighbours);
});
