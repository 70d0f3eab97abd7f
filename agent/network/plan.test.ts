import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import {
  type DataPlane,
  emptyDataPlane,
  nodeMac,
  retainAttached,
  setNames,
  wantedDataPlane,
} from "./data-plane.ts";
import { formatAddress } from "#proto/ipv4.ts";
import { parseSubnet } from "./subnet.ts";
import type { Overlay, OverlayNode, ParsedNetworkState } from "./network-state.ts";
import { planDataPlane, type Step } from "./plan.ts";

const options = { device: "sw-vx0", vni: 4096, port: 4789, underlayMtu: 1500 };

function node(number: number): OverlayNode {
  const address = `192.0.2.${number}`;
  return { id: `node${number}`, number, address, addresses: [address] };
}

function overlay(index: number, internal = false): Overlay {
  const subnet = parseSubnet(`10.0.${index}.0/24`);
  return { id: `net${index}`, subnet, gateway: formatAddress(subnet.first + 1), internal };
}

function state(parts: Partial<ParsedNetworkState> = {}): ParsedNetworkState {
  return { self: node(1), peers: [], overlays: [], remotes: new Map(), refusals: [], ...parts };
}

const picture = (parts: Partial<ParsedNetworkState> = {}) => wantedDataPlane(state(parts), options);
const plan = (actual: DataPlane, wanted: DataPlane) => planDataPlane(actual, wanted, options);
const kinds = (steps: readonly Step[]) => steps.map((step) => step.kind);
const lines = (steps: readonly Step[]) =>
  steps.flatMap((step) => (step.kind === "sysctl" ? [] : step.lines));

describe("planDataPlane()", () => {
  test("begins with the rules and ends with routes on an empty host", () => {
    const wanted = picture({
      peers: [node(2)],
      overlays: [overlay(1, true)],
      remotes: new Map([["10.0.1.5", node(2)]]),
    });
    const steps = plan(emptyDataPlane, wanted);
    assert.deepEqual(kinds(steps), [
      "nft",
      "ip",
      "nft",
      "sysctl",
      "sysctl",
      "sysctl",
      "bridge",
      "ip",
    ]);
    assert.deepEqual(
      lines(steps).filter((line) => line.startsWith("add element")),
      [
        "add element inet swarm nodes { 192.0.2.1, 192.0.2.2 }",
        "add element inet swarm pool { 10.0.1.0/24 }",
        "add element inet swarm samenet { 10.0.1.0/24 . 10.0.1.0/24 }",
        "add element inet swarm internal { 10.0.1.0/24 }",
        "add element inet swarm closed { 10.0.1.0/24 }",
      ],
    );
    assert.deepEqual(lines(steps.filter((step) => step.kind === "ip" || step.kind === "bridge")), [
      "link add sw-vx0 type vxlan id 4096 local 192.0.2.1 dstport 4789 nolearning",
      "link set sw-vx0 addrgenmode none",
      "link set sw-vx0 address 02:6e:00:00:00:01 mtu 1450 up",
      "route add unreachable 10.0.1.0/24 metric 4096 proto 115",
      "addr add 10.0.1.1/32 dev lo scope link",
      "fdb replace 02:6e:00:00:00:02 dev sw-vx0 dst 192.0.2.2",
      "neigh replace 192.0.2.2 lladdr 02:6e:00:00:00:02 dev sw-vx0 nud permanent",
      "route replace 10.0.1.5/32 via 192.0.2.2 src 192.0.2.1 dev sw-vx0 onlink",
    ]);
  });

  test("costs one line when a task moves", () => {
    const base = { peers: [node(2), node(3)], overlays: [overlay(1)] };
    const before = picture({ ...base, remotes: new Map([["10.0.1.5", node(2)]]) });
    const later = picture({ ...base, remotes: new Map([["10.0.1.5", node(3)]]) });
    assert.deepEqual(plan(before, later), [
      {
        kind: "ip",
        lines: ["route replace 10.0.1.5/32 via 192.0.2.3 src 192.0.2.1 dev sw-vx0 onlink"],
      },
    ]);
  });

  test("takes a network's set elements away last", () => {
    assert.deepEqual(plan(picture({ overlays: [overlay(1)] }), picture()), [
      {
        kind: "ip",
        lines: [
          "addr del 10.0.1.1/32 dev lo",
          "route del unreachable 10.0.1.0/24 metric 4096 proto 115",
        ],
      },
      {
        kind: "nft",
        lines: [
          "delete element inet swarm pool { 10.0.1.0/24 }",
          "delete element inet swarm samenet { 10.0.1.0/24 . 10.0.1.0/24 }",
        ],
      },
    ]);
  });

  test("takes an element away first where a new one overlaps it", () => {
    const wide = { ...overlay(1), subnet: parseSubnet("10.0.0.0/16") };
    const [first] = plan(picture({ overlays: [overlay(1)] }), picture({ overlays: [wide] }));
    assert.deepEqual(lines(first === undefined ? [] : [first]).slice(0, 2), [
      "delete element inet swarm pool { 10.0.1.0/24 }",
      "add element inet swarm pool { 10.0.0.0/16 }",
    ]);
  });

  test("makes everything anew that hung on a device with another address", () => {
    const before = picture({ peers: [node(2)] });
    const moved = { ...node(1), address: "192.0.2.9", addresses: ["192.0.2.9"] };
    const steps = plan(before, picture({ self: moved, peers: [node(2)] }));
    assert(lines(steps).includes("link del sw-vx0"));
    assert(lines(steps).includes("table netdev swarm"));
    assert(lines(steps).includes(`fdb replace ${nodeMac(2)} dev sw-vx0 dst 192.0.2.2`));
  });

  test("changes the MTU without touching what hangs on the device", () => {
    const jumbo = wantedDataPlane(state(), { ...options, underlayMtu: 9000 });
    assert.deepEqual(plan(picture(), jumbo), [
      { kind: "ip", lines: ["link set sw-vx0 address 02:6e:00:00:00:01 mtu 8950 up"] },
    ]);
  });

  test("replaces the table with its elements in one transaction when the rules are others", () => {
    const [step] = plan(
      { ...picture({ overlays: [overlay(1)] }), table: "older" },
      picture({ overlays: [overlay(1)] }),
    );
    const text = lines(step === undefined ? [] : [step]);
    assert.equal(step?.kind, "nft");
    assert.deepEqual(text.slice(0, 2), ["table inet swarm", "delete table inet swarm"]);
    assert(text.includes("add element inet swarm pool { 10.0.1.0/24 }"));
  });

  test("leaves nothing on the way to an empty picture", () => {
    const steps = plan(picture({ peers: [node(2)], overlays: [overlay(1)] }), emptyDataPlane);
    assert.deepEqual(lines(steps), [
      "link del sw-vx0",
      "delete table netdev swarm",
      "addr del 10.0.1.1/32 dev lo",
      "route del unreachable 10.0.1.0/24 metric 4096 proto 115",
      "delete table inet swarm",
    ]);
  });

  const states = fc
    .record({
      self: fc.integer({ min: 1, max: 2 }),
      peers: fc.uniqueArray(fc.integer({ min: 3, max: 6 })),
      overlays: fc.uniqueArray(
        fc.record({ index: fc.integer({ min: 0, max: 4 }), internal: fc.boolean() }),
        {
          selector: ({ index }) => index,
        },
      ),
      tasks: fc.array(
        fc.record({ network: fc.nat(4), host: fc.integer({ min: 10, max: 20 }), on: fc.nat(3) }),
      ),
    })
    .map(({ self, peers, overlays, tasks }) =>
      state({
        self: node(self),
        peers: peers.map(node),
        overlays: overlays.map(({ index, internal }) => overlay(index, internal)),
        remotes: new Map(
          tasks.flatMap(({ network, host, on }) => {
            const peer = peers[on];
            return peer === undefined ? [] : [[`10.0.${network}.${host}`, node(peer)] as const];
          }),
        ),
      }),
    );

  test("is empty for what stands, and leads from any state to any other", () => {
    fc.assert(
      fc.property(states, states, (a, b) => {
        const first = wantedDataPlane(a, options);
        const second = wantedDataPlane(b, options);
        assert.deepEqual(plan(first, first), []);
        const kernel = new ModelKernel();
        kernel.perform(plan(emptyDataPlane, first));
        assert.deepEqual(kernel.sorted(), contents(first));
        kernel.perform(plan(first, second));
        assert.deepEqual(kernel.sorted(), contents(second));
        kernel.perform(plan(second, emptyDataPlane));
        assert.deepEqual(kernel.sorted(), []);
      }),
    );
  });
});

describe("retainAttached()", () => {
  const before = picture({
    peers: [node(2)],
    overlays: [overlay(1)],
    remotes: new Map([["10.0.1.5", node(2)]]),
  });

  test("keeps a network that is not wanted while an address of it is attached", () => {
    const kept = retainAttached(picture({ peers: [node(2)] }), before, ["10.0.1.9"]);
    assert.deepEqual(plan(before, kept), []);
    assert.notDeepEqual(plan(before, retainAttached(picture(), before, ["10.0.2.9"])), []);
  });

  test("has no way to another host for an address that is attached here", () => {
    assert.equal(retainAttached(before, before, ["10.0.1.5"]).routes.size, 0);
  });

  test("lets a wanted network change under its tasks", () => {
    const wanted = picture({ peers: [node(2)], overlays: [overlay(1, true)] });
    assert.deepEqual(retainAttached(wanted, before, ["10.0.1.9"]), wanted);
  });
});

/** What a kernel would hold, as far as the order of lines and "exists already" matter. */
class ModelKernel {
  readonly #objects = new Map<string, string>();

  perform(steps: readonly Step[]): void {
    for (const line of lines(steps)) this.#line(line);
  }

  sorted(): readonly string[] {
    return [...this.#objects].map(([key, value]) => `${key} ${value}`.trim()).sort();
  }

  #line(line: string): void {
    const element = /^(add|delete) element inet swarm (\w+) \{ (.*) \}$/.exec(line);
    if (element !== null) {
      for (const text of (element[3] ?? "").split(", "))
        this.#change(element[1] === "add", `${element[2]} ${text}`);
      return;
    }
    const [noun, verb, ...rest] = line.split(" ");
    const words = rest.join(" ");
    if (line === "delete table inet swarm")
      this.#drop((key) => setNames.some((name) => key.startsWith(`${name} `)));
    else if (line === "link del sw-vx0") this.#drop((key) => /^(fdb|neigh|via)/.test(key));
    else if (noun === "fdb") this.#put(verb, `fdb ${rest[0]}`, rest[4] ?? "");
    else if (noun === "neigh") this.#put(verb, `neigh ${rest[0]}`, rest[2] ?? "");
    else if (noun === "addr") this.#change(verb === "add", `gateway ${rest[0]?.split("/")[0]}`);
    else if (noun === "route" && rest[0] === "unreachable")
      this.#change(verb === "add", `subnet ${rest[1]}`);
    else if (noun === "route") {
      this.#put(verb, `via ${rest[0]?.split("/")[0]}`, words.match(/via \S+ src \S+/)?.[0] ?? "");
    }
  }

  #change(add: boolean, key: string): void {
    assert.equal(this.#objects.has(key), !add, `${add ? "adds" : "deletes"} ${key}`);
    if (add) this.#objects.set(key, "");
    else this.#objects.delete(key);
  }

  #put(verb: string | undefined, key: string, value: string): void {
    if (verb === "replace") this.#objects.set(key, value);
    else assert(this.#objects.delete(key), `deletes ${key}, which is not there`);
  }

  #drop(gone: (key: string) => boolean): void {
    for (const key of this.#objects.keys()) if (gone(key)) this.#objects.delete(key);
  }
}

function contents(plane: DataPlane): readonly string[] {
  return [
    ...setNames.flatMap((name) => [...plane.sets[name]].map((element) => `${name} ${element}`)),
    ...[...plane.subnets].map((subnet) => `subnet ${subnet}`),
    ...[...plane.gateways].map((gateway) => `gateway ${gateway}`),
    ...[...plane.neighbours].map(([address, mac]) => `neigh ${address} ${mac}`),
    ...[...plane.fdb].map(([mac, address]) => `fdb ${mac} ${address}`),
    ...[...plane.routes].map(([address, way]) => `via ${address} ${way}`),
  ].sort();
}
