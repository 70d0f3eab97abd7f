import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { bridgeNetwork, chooseAddress, chooseBridge } from "./bridge.ts";
import { type Overlay, parseOverlay } from "./network-state.ts";
import { parseSubnet } from "./subnet.ts";

const nothing: ReadonlySet<string> = new Set();

const subnetOf = (bridge: Overlay | undefined) => bridge?.ranges[0]?.subnet.text;

function bridgeOf(subnet: string): Overlay {
  const bridge = chooseBridge(nothing, [], []);
  assert(bridge !== undefined);
  return { ...bridge, ranges: [{ subnet: parseSubnet(subnet), gateway: "172.17.0.1" }] };
}

describe("chooseBridge()", () => {
  test("takes the first subnet that neither the host nor the cluster has", () => {
    const overlay = bridgeOf("172.17.0.0/16");
    const host = [parseSubnet("172.18.5.0/24"), parseSubnet("172.19.0.1/32")];
    assert.equal(subnetOf(chooseBridge(nothing, [overlay], host)), "172.20.0.0/16");
    assert.equal(chooseBridge(nothing, [], [parseSubnet("172.16.0.0/12")]), undefined);
  });

  test("keeps what stands, but not where the cluster has it", () => {
    const standing = new Set(["10.0.0.0/24", "172.21.0.0/16"]);
    assert.equal(subnetOf(chooseBridge(standing, [], [])), "172.21.0.0/16");
    const taken = bridgeOf("172.21.0.0/24");
    assert.equal(subnetOf(chooseBridge(standing, [taken], [])), "172.17.0.0/16");
  });
});

describe("chooseAddress()", () => {
  const bridge = bridgeOf("172.17.0.0/29");

  test("gives each task another address, the same one again, until all are in use", () => {
    const taken: string[] = [];
    for (const task of ["a", "b", "c", "d", "e"]) {
      assert.equal(chooseAddress(bridge, task, taken), chooseAddress(bridge, task, taken));
      taken.push(chooseAddress(bridge, task, taken));
    }
    const all = [2, 3, 4, 5, 6].map((byte) => `172.17.0.${byte}`);
    assert.deepEqual(taken.toSorted(), all);
    assert.throws(
      () => chooseAddress(bridge, "f", taken),
      (error) => error instanceof Fault && error.code === "resource-exhausted",
    );
  });

  test("is not disturbed by addresses of other networks", () => {
    assert.equal(
      chooseAddress(bridge, "a", ["10.0.0.1", "fd00::1"]),
      chooseAddress(bridge, "a", []),
    );
  });
});

test("bridgeNetwork() is a network that hosts can parse", () => {
  const bridge = bridgeOf("172.17.0.0/16");
  const { id, ranges } = parseOverlay(bridgeNetwork(bridge));
  assert.deepEqual({ id, ranges }, { id: "bridge", ranges: bridge.ranges });
});
