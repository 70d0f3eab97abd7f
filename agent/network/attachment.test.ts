import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  mainAttachment,
  nothingStands,
  planAttach,
  planDetach,
  taskMac,
  type TaskLink,
  vethName,
} from "./attachment.ts";
import { parseSubnet } from "./subnet.ts";

const taskId = "abcdefghijklmnopqrstuvwxy";

function attachment(index: number, internal = false): TaskLink {
  return {
    overlay: {
      id: `net${index}`,
      name: `net${index}`,
      ranges: [{ subnet: parseSubnet(`10.0.${index}.0/24`), gateway: `10.0.${index}.1` }],
      internal,
      encrypted: false,
      ingress: false,
      local: false,
      mtu: undefined,
    },
    addresses: [`10.0.${index}.9`],
    mtu: 1450,
  };
}

function dual(index: number): TaskLink {
  const { overlay, ...link } = attachment(index);
  const six = { subnet: parseSubnet(`fd00:${index}::/64`), gateway: `fd00:${index}::1` };
  const ranges = [...overlay.ranges, six];
  const addresses = [...link.addresses, `fd00:${index}::9`];
  return { ...link, overlay: { ...overlay, ranges }, addresses };
}

const options = {
  taskId,
  source: "192.0.2.1",
  source6: "2001:db8::1",
  standing: nothingStands,
};

describe("planAttach()", () => {
  test("makes the namespace, the link and the way to it, then the inside", () => {
    assert.deepEqual(planAttach({ ...options, links: [attachment(1)] }), {
      host: [
        `netns add ${taskId}`,
        `link add swv-abcdefghij0 address 02:6e:ff:ff:ff:ff mtu 1450 type veth peer name eth0 netns ${taskId} address 02:42:0a:00:01:09 mtu 1450`,
        "link set swv-abcdefghij0 addrgenmode none up",
        "neigh replace 10.0.1.9 lladdr 02:42:0a:00:01:09 dev swv-abcdefghij0 nud permanent",
        "route replace 10.0.1.9/32 dev swv-abcdefghij0 src 192.0.2.1",
      ],
      inside: [
        "link set lo up",
        "addr replace 10.0.1.9/24 dev eth0 noprefixroute",
        "link set eth0 mtu 1450",
        "link set eth0 addrgenmode none up",
        "neigh replace 10.0.1.1 lladdr 02:6e:ff:ff:ff:ff dev eth0 nud permanent",
        "route replace 10.0.1.1 dev eth0 scope link",
        "route replace 10.0.1.0/24 via 10.0.1.1 dev eth0",
        "route replace default via 10.0.1.1 dev eth0",
      ],
      inside6: [],
    });
  });

  test("leaves by the first network that leads out, and answers on the others where it was asked", () => {
    const { inside } = planAttach({
      ...options,
      links: [attachment(1, true), attachment(2)],
    });
    assert.deepEqual(
      inside.filter((line) => /default|rule/.test(line)),
      [
        "route replace default via 10.0.1.1 dev eth0 table 100",
        "route replace default via 10.0.2.1 dev eth1",
        "rule add pref 100 from 10.0.1.9 lookup 100",
      ],
    );
  });

  test("adds nothing that stands", () => {
    const standing = {
      namespace: true,
      veths: new Set([vethName(taskId, 0)]),
      rulePriorities: new Set(["4 101"]),
    };
    const { host, inside } = planAttach({
      ...options,
      links: [attachment(1), attachment(2)],
      standing,
    });
    assert.deepEqual(
      [...host, ...inside]
        .filter((line) => / add /.test(line))
        .map((line) => line.split(" ").slice(0, 3)),
      [["link", "add", "swv-abcdefghij1"]],
    );
  });

  test("gives an address of each family, and answers of both where they were asked", () => {
    const { host, inside, inside6 } = planAttach({
      ...options,
      links: [attachment(1), dual(2)],
    });
    assert.deepEqual(
      [...host, ...inside].filter((line) => line.includes("fd00:")),
      [
        "neigh replace fd00:2::9 lladdr 02:42:0a:00:02:09 dev swv-abcdefghij1 nud permanent",
        "route replace fd00:2::9/128 dev swv-abcdefghij1 src 2001:db8::1",
        "addr replace fd00:2::9/128 dev eth1 nodad",
        "neigh replace fd00:2::1 lladdr 02:6e:ff:ff:ff:ff dev eth1 nud permanent",
        "route replace fd00:2::1 dev eth1",
        "route replace fd00:2::/64 via fd00:2::1 dev eth1",
        "route replace default via fd00:2::1 dev eth1 table 101",
      ],
    );
    assert.deepEqual(inside6, ["rule add pref 101 from fd00:2::9 lookup 101"]);
  });

  test("raises the loopback of a task without networks", () => {
    const plan = planAttach({ ...options, links: [] });
    assert.deepEqual(plan, {
      host: [`netns add ${taskId}`],
      inside: ["link set lo up"],
      inside6: [],
    });
  });
});

describe("planDetach()", () => {
  test("deletes all links at once and names no group without a link", () => {
    assert.deepEqual(planDetach(["a"], ["swv-a0", "swv-a1"]), [
      "link set dev swv-a0 group 7567213",
      "link set dev swv-a1 group 7567213",
      "link del group 7567213",
      "netns del a",
    ]);
    assert.deepEqual(planDetach(["a"], []), ["netns del a"]);
  });
});

test("vethName() stays within the kernel's 15 characters", () => {
  assert.equal(vethName(taskId, 35), "swv-abcdefghijz");
  assert.equal(vethName(taskId, 35).length, 15);
});

test("taskMac() follows from the address", () => {
  assert.equal(taskMac("10.0.1.255"), "02:42:0a:00:01:ff");
});

test("mainAttachment() is the first where no network leads out", () => {
  assert.equal(mainAttachment([attachment(1, true), attachment(2, true)])?.overlay.id, "net1");
  assert.equal(mainAttachment([]), undefined);
});

test("mainAttachment() is the bridge where no overlay leads out", () => {
  const { overlay, ...link } = attachment(2);
  const bridge = { ...link, overlay: { ...overlay, local: true } };
  assert.equal(mainAttachment([attachment(1, true), bridge]), bridge);
  assert.equal(mainAttachment([bridge, attachment(1)])?.overlay.id, "net1");
});
