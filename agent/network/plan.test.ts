import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { formatAddress } from "#proto/ipv4.ts";
import { formatAddress6 } from "#proto/ipv6.ts";
import {
  type DataPlane,
  type DataPlaneOptions,
  emptyDataPlane,
  retainAttached,
  rulesetOptions,
  wantedDataPlane,
} from "./data-plane.ts";
import { type Device, encryptedDevice, nodeMac, plainDevice } from "./devices.ts";
import { declarations, elementsNames } from "./ruleset/elements.ts";
import { parseSubnet } from "./subnet.ts";
import type { Overlay, OverlayNode, ParsedNetworkState, Range, Remote } from "./network-state.ts";
import { PartedMap } from "./parted-map.ts";
import { planDataPlane, type Step } from "./plan.ts";

const options: DataPlaneOptions = {
  port: 4789,
  underlayMtu: 1500,
  encryption: undefined,
  ipv6: true,
  advertised: [],
};
const encrypting: DataPlaneOptions = {
  ...options,
  encryption: { device: "sw-wg0", address: "169.254.64.1", mtu: 1440 },
};

function node(number: number): OverlayNode {
  const address = `192.0.2.${number}`;
  return {
    id: `node${number}`,
    number,
    address,
    addresses: [address],
    addresses6: [`2001:db8::${number}`],
    encryptionKey: "",
  };
}

function overlay(index: number, parts: Partial<Overlay> = {}): Overlay {
  return {
    id: `net${index}`,
    name: `net${index}`,
    ranges: [range(`10.0.${index}.0/24`)],
    internal: false,
    encrypted: false,
    ingress: false,
    local: false,
    mtu: undefined,
    ...parts,
  };
}

function range(text: string): Range {
  const subnet = parseSubnet(text);
  const gateway =
    subnet.family === 6
      ? formatAddress6(subnet.first + 1n)
      : formatAddress(Number(subnet.first) + 1);
  return { subnet, gateway };
}

function dual(index: number, parts: Partial<Overlay> = {}): Overlay {
  return overlay(index, {
    ranges: [range(`10.0.${index}.0/24`), range(`fd00:${index}::/64`)],
    ...parts,
  });
}

const at = (number: number, device: Device = plainDevice) => ({ node: node(number), device });

function state(parts: Partial<ParsedNetworkState> = {}): ParsedNetworkState {
  return {
    self: node(1),
    peers: [],
    overlays: [],
    remotes: PartedMap.from<Remote>([]),
    refusals: [],
    ...parts,
  };
}

const picture = (parts: Partial<ParsedNetworkState> = {}) => wantedDataPlane(state(parts), options);
const plan = (actual: DataPlane, wanted: DataPlane, services: readonly string[] = []) =>
  planDataPlane(actual, wanted, {
    ruleset: wanted.table === undefined ? undefined : rulesetOptions(node(1), 4789),
    services,
  });
const kinds = (steps: readonly Step[]) => steps.map((step) => step.kind);
const lines = (steps: readonly Step[]) =>
  steps.flatMap((step) => (step.kind === "sysctl" ? [] : step.lines));

describe("planDataPlane()", () => {
  test("begins with the rules and ends with services on an empty host", () => {
    const wanted = picture({
      peers: [node(2)],
      overlays: [dual(1, { internal: true })],
      remotes: PartedMap.from([
        ["10.0.1.5", at(2)],
        ["fd00:1::5", at(2)],
      ]),
    });
    const steps = plan(emptyDataPlane, wanted);
    assert.deepEqual(
      kinds(steps).filter((kind) => kind !== "sysctl"),
      ["nft", "ip", "ip6", "nft", "bridge", "ip"],
    );
    assert.deepEqual(
      lines(steps)
        .filter((line) => line.startsWith("add element"))
        .map((line) => line.slice("add element ".length)),
      [
        "inet swarm nodes { 192.0.2.1, 192.0.2.2 }",
        "inet swarm nodes6 { 2001:db8::1, 2001:db8::2 }",
        "inet swarm pool { 10.0.1.0/24 }",
        "inet swarm pool6 { fd00:1::/64 }",
        "inet swarm samenet { 10.0.1.0/24 . 10.0.1.0/24 }",
        "inet swarm samenet6 { fd00:1::/64 . fd00:1::/64 }",
        "inet swarm resolver { 10.0.1.0/24 . 10.0.1.1 }",
        "inet swarm resolver6 { fd00:1::/64 . fd00:1::1 }",
        "inet swarm internal { 10.0.1.0/24 }",
        "inet swarm internal6 { fd00:1::/64 }",
        "inet swarm closed { 10.0.1.0/24 }",
        "inet swarm closed6 { fd00:1::/64 }",
        "inet swarm gateway { 10.0.1.0/24 : 10.0.1.1 }",
        "inet swarm gateway6 { fd00:1::/64 : fd00:1::1 }",
        "inet swarm node_zone { 02:6e:00:00:00:02 : 16386 }",
        "inet swarm zone_mark { 16386 : 1073872896 }",
        "netdev swarm zone_mac { 1073872896 : 02:6e:00:00:00:02 }",
      ],
    );
    const rules = [
      "rule add pref 100 iif sw-vx0 lookup main protocol 115",
      "rule add pref 110 fwmark 0x40000000/0xc0000000 lookup 1000 protocol 115",
    ];
    assert.deepEqual(lines(steps.filter(({ kind }) => /ip|bridge/.test(kind))), [
      "link add sw-vx0 address 02:6e:00:00:00:01 type vxlan id 4096 local 192.0.2.1 dstport 4789 nolearning",
      "link set sw-vx0 addrgenmode none",
      "link set sw-vx0 mtu 1450 up",
      "route add unreachable 10.0.1.0/24 metric 4096 proto 115",
      "route add unreachable fd00:1::/64 metric 4096 proto 115",
      "addr add fe80::6e:1/64 dev sw-vx0 nodad",
      "addr add 10.0.1.1/32 dev lo scope link",
      "addr add fd00:1::1/128 dev lo nodad preferred_lft 0",
      ...rules,
      ...rules,
      "fdb replace 02:6e:00:00:00:02 dev sw-vx0 dst 192.0.2.2",
      "neigh replace 192.0.2.2 dev sw-vx0 lladdr 02:6e:00:00:00:02 nud permanent",
      "neigh replace fe80::6e:2 dev sw-vx0 lladdr 02:6e:00:00:00:02 nud permanent",
      "neigh replace 169.254.0.1 dev sw-vx0 lladdr 02:6e:ff:ff:ff:fe nud permanent",
      "neigh replace fe80::6e:ffff dev sw-vx0 lladdr 02:6e:ff:ff:ff:fe nud permanent",
      "route replace default via 169.254.0.1 dev sw-vx0 table 1000 onlink",
      "route replace default via fe80::6e:ffff dev sw-vx0 table 1000",
      "route replace 10.0.1.5/32 via 192.0.2.2 dev sw-vx0 src 192.0.2.1 onlink",
      "route replace fd00:1::5/128 via fe80::6e:2 dev sw-vx0 src 2001:db8::1",
    ]);
  });

  test("has nothing of IPv6 where the kernel has none", () => {
    const wanted = wantedDataPlane(state({ peers: [node(2)], overlays: [dual(1)] }), {
      ...options,
      ipv6: false,
    });
    const words = lines(plan(emptyDataPlane, wanted)).filter((line) => !line.startsWith("  "));
    assert.deepEqual(
      words.filter((line) => /fd00|fe80/.test(line)),
      [],
    );
    assert.equal(wanted.rules6.size, 0);
  });

  test("lets interfaces take router advertisements before the host becomes a router", () => {
    const wanted = wantedDataPlane(state({ overlays: [dual(1)] }), {
      ...options,
      advertised: ["eth0"],
    });
    const written = plan(emptyDataPlane, wanted).flatMap((step) =>
      step.kind === "sysctl" && step.path.startsWith("ipv6") ? [`${step.path}=${step.value}`] : [],
    );
    assert.deepEqual(written, ["ipv6/conf/eth0/accept_ra=2", "ipv6/conf/all/forwarding=1"]);
  });

  test("carries encrypted networks on a device of their own, and not at all without it", () => {
    const parts = state({
      peers: [node(2)],
      overlays: [overlay(1, { encrypted: true })],
      remotes: PartedMap.from([["10.0.1.5", at(2, encryptedDevice)]]),
    });
    const secret = lines(plan(emptyDataPlane, wantedDataPlane(parts, encrypting)));
    assert(secret.includes("add element netdev swarm secret { 10.0.1.0/24 }"));
    assert(
      secret.includes(
        "link add sw-vx1 address 02:6e:01:00:00:01 type vxlan id 4097 local 169.254.64.1 dstport 4789 nolearning",
      ),
    );
    assert(secret.includes("link set sw-vx1 mtu 1390 up"));
    assert(secret.includes("fdb replace 02:6e:01:00:00:02 dev sw-vx1 dst 169.254.64.2"));
    assert(
      secret.includes("route replace 10.0.1.5/32 via 192.0.2.2 dev sw-vx1 src 192.0.2.1 onlink"),
    );
    const without = wantedDataPlane(parts, options);
    assert.equal(without.routes.size, 0);
    assert(without.subnets.has("10.0.1.0/24"));
    assert(lines(plan(wantedDataPlane(parts, encrypting), without)).includes("link del sw-vx1"));
  });

  test("does not let tasks meet on an ingress network", () => {
    const { elements } = picture({ overlays: [overlay(1, { ingress: true })] });
    assert(elements.pool.has("10.0.1.0/24"));
    assert.equal(elements.samenet.size, 0);
  });

  test("changes services after routes arrive and before routes leave", () => {
    const before = picture({ peers: [node(2)], remotes: PartedMap.from([["10.0.1.5", at(2)]]) });
    const later = picture({ peers: [node(2)], remotes: PartedMap.from([["10.0.1.6", at(2)]]) });
    const steps = plan(before, later, ["add element inet swarm vip { … }"]);
    assert.deepEqual(kinds(steps), ["ip", "nft", "ip"]);
    assert.deepEqual(lines(steps).at(-1), "route del 10.0.1.5/32 dev sw-vx0");
  });

  test("costs one line when a task moves", () => {
    const base = { peers: [node(2), node(3)], overlays: [overlay(1)] };
    const before = picture({ ...base, remotes: PartedMap.from([["10.0.1.5", at(2)]]) });
    const later = picture({ ...base, remotes: PartedMap.from([["10.0.1.5", at(3)]]) });
    assert.deepEqual(plan(before, later), [
      {
        kind: "ip",
        lines: ["route replace 10.0.1.5/32 via 192.0.2.3 dev sw-vx0 src 192.0.2.1 onlink"],
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
          "delete element inet swarm resolver { 10.0.1.0/24 . 10.0.1.1 }",
          "delete element inet swarm gateway { 10.0.1.0/24 }",
        ],
      },
    ]);
  });

  test("takes an element away first where a new one overlaps it", () => {
    const wide = overlay(1, { ranges: [range("10.0.0.0/16")] });
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

  test("overwrites a map's element by deleting it first", () => {
    const before = picture();
    const gateway = new Map([["10.0.1.0/24", "10.0.1.1"]]);
    const other = new Map([["10.0.1.0/24", "10.0.1.254"]]);
    const withGateway = (map: ReadonlyMap<string, string>) => ({
      ...before,
      elements: { ...before.elements, gateway: map },
    });
    assert.deepEqual(lines(plan(withGateway(gateway), withGateway(other))), [
      "delete element inet swarm gateway { 10.0.1.0/24 }",
      "add element inet swarm gateway { 10.0.1.0/24 : 10.0.1.254 }",
    ]);
  });

  test("changes the MTU without touching what hangs on the device", () => {
    const jumbo = wantedDataPlane(state(), { ...options, underlayMtu: 9000 });
    assert.deepEqual(plan(picture(), jumbo), [
      { kind: "ip", lines: ["link set sw-vx0 mtu 8950 up"] },
    ]);
  });

  test("replaces the table with all elements in one transaction when the rules are others", () => {
    const services = ["add element inet swarm vip { … }"];
    const [step] = plan(
      { ...picture({ overlays: [overlay(1)] }), table: "older" },
      picture({ overlays: [overlay(1)] }),
      services,
    );
    const text = lines(step === undefined ? [] : [step]);
    assert.equal(step?.kind, "nft");
    assert.deepEqual(text.slice(0, 2), ["table inet swarm", "delete table inet swarm"]);
    assert(text.includes("add element inet swarm pool { 10.0.1.0/24 }"));
    assert.deepEqual(text.slice(-1), services);
  });

  test("leaves nothing on the way to an empty picture", () => {
    const steps = plan(picture({ peers: [node(2)], overlays: [overlay(1)] }), emptyDataPlane);
    const policy = [
      "rule del pref 100 iif sw-vx0 lookup main protocol 115",
      "rule del pref 110 fwmark 0x40000000/0xc0000000 lookup 1000 protocol 115",
    ];
    assert.deepEqual(lines(steps), [
      "link del sw-vx0",
      ...policy,
      ...policy,
      "addr del 10.0.1.1/32 dev lo",
      "route del unreachable 10.0.1.0/24 metric 4096 proto 115",
      "delete table netdev swarm",
      "delete table inet swarm",
    ]);
  });

  const networks = fc.record({
    index: fc.integer({ min: 0, max: 4 }),
    internal: fc.boolean(),
    encrypted: fc.boolean(),
    ingress: fc.boolean(),
    six: fc.boolean(),
  });
  const pictures = fc
    .record({
      self: fc.integer({ min: 1, max: 2 }),
      peers: fc.uniqueArray(fc.integer({ min: 3, max: 6 })),
      overlays: fc.uniqueArray(networks, { selector: ({ index }) => index }),
      tasks: fc.array(
        fc.record({ network: fc.nat(4), host: fc.integer({ min: 10, max: 20 }), on: fc.nat(3) }),
      ),
      encrypts: fc.boolean(),
    })
    .map(({ self, peers, overlays, tasks, encrypts }) => {
      const parsed = state({
        self: node(self),
        peers: peers.map(node),
        overlays: overlays.map(({ index, six, ...parts }) =>
          six ? dual(index, parts) : overlay(index, parts),
        ),
        remotes: PartedMap.from(
          tasks.flatMap(({ network, host, on }) => {
            const peer = peers[on];
            if (peer === undefined) return [];
            const device = network === 4 ? encryptedDevice : plainDevice;
            return [
              [`10.0.${network}.${host}`, at(peer, device)] as const,
              [`fd00:${network}::${host}`, at(peer, device)] as const,
            ];
          }),
        ),
      });
      return wantedDataPlane(parsed, encrypts ? encrypting : options);
    });

  test("is empty for what stands, and leads from any state to any other", () => {
    fc.assert(
      fc.property(pictures, pictures, (first, second) => {
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
    remotes: PartedMap.from([["10.0.1.5", at(2)]]),
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
    const wanted = picture({ peers: [node(2)], overlays: [overlay(1, { internal: true })] });
    assert.deepEqual(retainAttached(wanted, before, ["10.0.1.9"]), wanted);
  });
});

/** What a kernel would hold, as far as the order of lines and "exists already" matter. */
class ModelKernel {
  readonly #objects = new Map<string, string>();

  perform(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.kind === "sysctl") continue;
      for (const line of step.lines) this.#line(step.kind, line);
    }
  }

  sorted(): readonly string[] {
    return [...this.#objects].map(([key, value]) => `${key} ${value}`.trim()).sort();
  }

  #line(kind: Step["kind"], line: string): void {
    const element = /^(add|delete) element (\w+) swarm (\w+) \{ (.*) \}$/.exec(line);
    if (element !== null) {
      const [, verb, table, name, list = ""] = element;
      for (const text of list.split(", ")) {
        const [key, value = ""] = text.split(" : ");
        this.#change(verb === "add", `${table} ${name} ${key}`, value);
      }
      return;
    }
    const deletedTable = /^delete table (\w+) swarm$/.exec(line)?.[1];
    const deletedLink = /^link del (\S+)$/.exec(line)?.[1];
    if (deletedTable !== undefined) this.#drop((key) => key.startsWith(`${deletedTable} `));
    else if (deletedLink !== undefined) {
      this.#drop(
        (key, value) => !key.startsWith("rule") && ` ${key} ${value} `.includes(` ${deletedLink} `),
      );
    } else this.#object(kind, line);
  }

  #object(kind: Step["kind"], line: string): void {
    const [noun = "", verb, ...rest] = line.split(" ");
    const [, subject = "", value = ""] =
      /^(\S+ dev \S+) (?:dst|lladdr) (\S+)/.exec(rest.join(" ")) ?? [];
    if (noun === "fdb" || noun === "neigh") {
      this.#put(verb, `${noun} ${subject || rest.slice(0, 3).join(" ")}`, value);
    } else if (noun === "rule") {
      this.#change(verb === "add", `rule ${kind} ${rest.slice(0, -2).join(" ")}`);
    } else if (noun === "addr" && rest[2] !== "lo") {
      this.#change(verb === "add", `hop ${rest.slice(0, 3).join(" ")}`);
    } else if (noun === "addr") {
      this.#change(verb === "add", `gateway ${rest[0]?.split("/")[0]}`);
    } else if (noun === "route" && rest[0] === "unreachable") {
      this.#change(verb === "add", `subnet ${rest[1]}`);
    } else if (noun === "route" && rest[0] === "default") {
      this.#put(verb, `back ${rest.join(" ").replace(" onlink", "")}`, "");
    } else if (noun === "route") {
      const way = rest.slice(1).join(" ").replace(" onlink", "");
      this.#put(verb, `via ${rest[0]?.split("/")[0]}`, way);
    }
  }

  #change(add: boolean, key: string, value = ""): void {
    assert.equal(this.#objects.has(key), !add, `${add ? "adds" : "deletes"} ${key}`);
    if (add) this.#objects.set(key, value);
    else this.#objects.delete(key);
  }

  #put(verb: string | undefined, key: string, value: string): void {
    if (verb === "replace") this.#objects.set(key, value);
    else assert(this.#objects.delete(key), `deletes ${key}, which is not there`);
  }

  #drop(gone: (key: string, value: string) => boolean): void {
    for (const [key, value] of this.#objects) if (gone(key, value)) this.#objects.delete(key);
  }
}

function contents(plane: DataPlane): readonly string[] {
  return [
    ...elementsNames.flatMap((name) =>
      [...plane.elements[name]].map(
        ([key, value]) => `${declarations[name].table} ${name} ${key} ${value}`,
      ),
    ),
    ...[...plane.subnets].map((subnet) => `subnet ${subnet}`),
    ...[...plane.gateways].map((gateway) => `gateway ${gateway}`),
    ...[...plane.hops].map((hop) => `hop ${hop}`),
    ...[...plane.neighbours].map(([hop, mac]) => `neigh ${hop} ${mac}`),
    ...[...plane.fdb].map(([mac, address]) => `fdb ${mac} ${address}`),
    ...[...plane.routes].map(([address, way]) => `via ${address} ${way}`),
    ...[...plane.backRoutes].map((route) => `back ${route}`),
    ...[...plane.rules].map((rule) => `rule ip ${rule}`),
    ...[...plane.rules6].map((rule) => `rule ip6 ${rule}`),
  ]
    .map((text) => text.trim())
    .sort();
}
