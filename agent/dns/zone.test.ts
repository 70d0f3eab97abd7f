import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { NetworkEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { buildZone, findName, findPointer } from "./zone.ts";

const endpoint = (parts: MessageInitShape<typeof NetworkEndpointSchema>) =>
  create(NetworkEndpointSchema, { serving: true, networkId: "front", ...parts });

const zone = buildZone({
  services: [],
  networks: [
    create(NetworkSchema, { id: "front" }),
    create(NetworkSchema, { id: "back", spec: { internal: true } }),
  ],
  endpoints: [
    endpoint({
      taskId: "w1",
      address: "10.0.1.1",
      serviceName: "web",
      taskName: "web.1.x",
      slot: 1n,
      aliases: ["WWW"],
    }),
    endpoint({
      taskId: "w2",
      address: "10.0.1.2",
      serviceName: "web",
      taskName: "web.2.y",
      slot: 2n,
    }),
    endpoint({
      taskId: "w3",
      address: "10.0.1.3",
      serviceName: "web",
      taskName: "web.3.z",
      slot: 3n,
      serving: false,
    }),
    endpoint({
      taskId: "s1",
      address: "10.0.1.9",
      serviceName: "starting",
      taskName: "starting.1.q",
      serving: false,
    }),
    endpoint({ taskId: "c", address: "10.0.1.20", serviceName: "client", taskName: "client.1.c" }),
    endpoint({
      taskId: "c",
      address: "10.0.2.20",
      networkId: "back",
      serviceName: "client",
      taskName: "client.1.c",
    }),
    endpoint({
      taskId: "d",
      address: "10.0.2.5",
      networkId: "back",
      serviceName: "db",
      taskName: "db.1.d",
    }),
  ],
});

const fromFront = { networkId: "front", address: "10.0.1.1" };
const fromBoth = { networkId: "front", address: "10.0.1.20" };
const fromBack = { networkId: "back", address: "10.0.2.5" };

function addresses(
  asker: typeof fromFront,
  name: string,
): readonly string[] | "forward" | "refuse" {
  const found = findName(zone, asker, name);
  if (found.kind === "name") return found.addresses;
  return found.mayForward ? "forward" : "refuse";
}

describe("findName()", () => {
  test("knows a service, its tasks, its slots and its aliases, in any capitals", () => {
    for (const name of ["web", "WEB", "web.", "tasks.web"]) {
      assert.deepEqual(addresses(fromFront, name), ["10.0.1.1", "10.0.1.2"], name);
    }
    assert.deepEqual(addresses(fromFront, "web.2.y"), ["10.0.1.2"]);
    assert.deepEqual(addresses(fromFront, "2.web"), ["10.0.1.2"]);
    assert.deepEqual(addresses(fromFront, "www"), ["10.0.1.1"]);
  });

  test("has no address for a name that nobody serves, and asks nobody else", () => {
    assert.deepEqual(addresses(fromFront, "starting"), []);
    assert.deepEqual(addresses(fromFront, "3.web"), []);
  });

  test("keeps the names of other networks from an asker that is not attached to them", () => {
    assert.equal(addresses(fromFront, "db"), "forward");
    assert.deepEqual(addresses(fromBoth, "db"), ["10.0.2.5"]);
    assert.deepEqual(addresses({ networkId: "front", address: "10.0.1.77" }, "web"), [
      "10.0.1.1",
      "10.0.1.2",
    ]);
  });

  test("lets nobody on internal networks alone ask the outside", () => {
    assert.equal(addresses(fromBack, "example.com"), "refuse");
    assert.equal(addresses({ networkId: "back", address: "10.0.2.20" }, "example.com"), "forward");
  });

  test("is not confused by names of JavaScript's own", () => {
    for (const name of ["constructor", "__proto__", ""])
      assert.equal(addresses(fromFront, name), "forward");
  });
});

describe("findPointer()", () => {
  test("names the task of an address that the asker sees", () => {
    assert.equal(findPointer(zone, fromFront, "2.1.0.10.in-addr.arpa"), "web.2.y");
    assert.equal(findPointer(zone, fromFront, "5.2.0.10.in-addr.arpa"), undefined);
    assert.equal(findPointer(zone, fromFront, "web"), undefined);
  });
});
