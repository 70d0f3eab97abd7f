import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { packEndpoint, unpackEndpoint } from "./endpoint-wire.ts";
import { NetworkEndpointSchema } from "./gen/swarm/v1/dispatcher_pb.ts";

test("an endpoint arrives as it was sent, whatever its task is called", () => {
  const usual = fc.record({
    name: fc.constantFrom("", "web"),
    slot: fc.bigInt({ min: 0n, max: 3n }),
  });
  const property = fc.property(
    usual,
    fc.option(fc.string({ minLength: 1 })),
    ({ name, slot }, own) => {
      const usualName = name === "" ? "" : `${name}.${slot === 0n ? "node" : slot}.task`;
      const endpoint = create(NetworkEndpointSchema, {
        id: "task/network",
        taskId: "task",
        networkId: "network",
        nodeId: "node",
        serviceName: name,
        slot,
        taskName: own ?? usualName,
      });
      assert.deepEqual(unpackEndpoint(packEndpoint(endpoint)), endpoint);
    },
  );
  fc.assert(property);
});

test("an endpoint travels without its ID and without its task's usual name", () => {
  const endpoint = create(NetworkEndpointSchema, {
    id: "task/network",
    taskId: "task",
    networkId: "network",
    serviceName: "web",
    slot: 2n,
    taskName: "web.2.task",
  });
  const packed = packEndpoint(endpoint);
  assert.deepEqual([packed.id, packed.taskName], ["", ""]);
  const saved = "task/network".length + "web.2.task".length + 4;
  const bytesOf = (one: typeof endpoint) => toBinary(NetworkEndpointSchema, one).length;
  assert.equal(bytesOf(packed), bytesOf(endpoint) - saved);
});
