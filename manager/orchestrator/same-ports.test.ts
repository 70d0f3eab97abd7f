import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EndpointMode,
  EndpointSpecSchema,
  type PortConfigSchema,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork } from "#proto/main-network.ts";
import { testNetwork, testTask } from "../testing/fixtures.ts";
import { hasPortsOf } from "./same-ports.ts";

type Port = MessageInitShape<typeof PortConfigSchema>;

const endpoint = (...ports: Port[]) => create(EndpointSpecSchema, { ports });
const ingress = { targetPort: 80, publishedPort: 8080 };
const host = { targetPort: 81, publishedPort: 8081, publishMode: PublishMode.HOST };
const task = (spec = endpoint(), network = testNetwork("net")) =>
  testTask("t1", { networks: [{ network }], endpoint: { spec } });

test("same ports, ports of the whole cluster and the endpoint's mode come and go without the task", () => {
  assert.equal(hasPortsOf(task(endpoint(ingress)), endpoint()), true);
  assert.equal(hasPortsOf(task(), endpoint(ingress, { ...ingress, publishedPort: 9 })), true);
  const dnsrr = create(EndpointSpecSchema, { mode: EndpointMode.DNSRR });
  assert.equal(hasPortsOf(task(), dnsrr), true);
  assert.equal(hasPortsOf(task(endpoint()), undefined), true);
});

test("same ports, a task is replaced for a port of its node, and not for their order or names", () => {
  const other = { ...host, targetPort: 82, publishedPort: 8082 };
  assert.equal(hasPortsOf(task(), endpoint(host)), false);
  assert.equal(hasPortsOf(task(endpoint(host)), endpoint()), false);
  assert.equal(hasPortsOf(task(endpoint(host)), endpoint({ ...host, hostIp: "::1" })), false);
  assert.equal(hasPortsOf(task(endpoint(host, other)), endpoint(other, host)), true);
  assert.equal(hasPortsOf(task(endpoint(host)), endpoint({ ...host, name: "http" })), true);
  const [a, b] = [host, other].map((port) => ({ ...port, publishedPort: 0 }));
  assert.ok(a && b);
  assert.equal(hasPortsOf(task(endpoint(a, a, b)), endpoint(a, b, b)), false);
});

test("same ports, a task that no published port can lead to is replaced for the first of them", () => {
  const onBridge = task(endpoint(), localNetwork("bridge"));
  assert.equal(hasPortsOf(onBridge, endpoint(ingress)), false);
  assert.equal(hasPortsOf(onBridge, endpoint()), true);
  const waiting = testTask("t2");
  assert.equal(hasPortsOf(waiting, endpoint(ingress, host)), true);
});
