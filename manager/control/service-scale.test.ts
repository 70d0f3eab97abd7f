import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { openControl } from "./testing/control-ground.ts";

function scaledSpec(replicas: number): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "replicated", value: { replicas: BigInt(replicas) } },
    task: {
      runtime: { case: "container", value: { image: "busybox" } },
      resources: { reservations: { nanoCpus: 1_000_000_000n } },
    },
    autoscale: { minReplicas: 2n, maxReplicas: 8n, cpuPercent: 50 },
  });
}

async function open() {
  const { client } = openControl();
  const { service } = await client.createService({ spec: scaledSpec(3) });
  assert.ok(service);
  let stored: Service = service;
  return {
    service: () => stored,
    desired: async () => (await client.getService({ ref: "web" })).status?.desiredTasks,
    update: async (spec: ServiceSpec, scale = false) => {
      const version = stored.meta?.version;
      assert.ok(version);
      const answer = await client.updateService({ ref: "web", version, spec, scale });
      assert.ok(answer.service);
      const unchanged = answer.service.meta?.version?.index === version.index;
      stored = answer.service;
      return unchanged;
    },
  };
}

test("service, autoscaled: a user sets the number within the bounds, and the spec keeps its own", async () => {
  const { service, desired, update } = await open();
  assert.equal(await desired(), 3n);
  await update(scaledSpec(5), true);
  assert.equal(await desired(), 5n);
  assert.deepEqual(service().spec?.mode.value, scaledSpec(3).mode.value);
  assert.equal(service().previousSpec, undefined);
  await assert.rejects(update(scaledSpec(9), true), {
    message: /^Cannot scale service "web" to 9: it is autoscaled from 2 to 8 replicas/,
  });
  assert.equal(await update(scaledSpec(5), true), true, "it has 5 already");
});

test("service, autoscaled: deploying the same file again, or another number in it, moves nothing", async () => {
  const { desired, update } = await open();
  await update(scaledSpec(5), true);
  assert.equal(await update(scaledSpec(3)), true);
  assert.equal(await desired(), 5n);
  await update(scaledSpec(4));
  assert.equal(await desired(), 5n);
});

test("service, no longer autoscaled: it has the spec's number", async () => {
  const { desired, update } = await open();
  await update(scaledSpec(5), true);
  const { autoscale: _, ...plain } = scaledSpec(3);
  await update(plain);
  assert.equal(await desired(), 3n);
});
