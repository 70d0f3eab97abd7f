import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ServiceSpecSchema, type TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { AutoscaleSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { openTestStore, testTaskSpec } from "../testing/fixtures.ts";
import { validateServiceSpec } from "./validate-service.ts";

type Init<D extends Parameters<typeof create>[0]> = Exclude<
  MessageInitShape<D>,
  { readonly $typeName: string }
>;

const { store } = openTestStore();

function validate(
  autoscale: Init<typeof AutoscaleSchema>,
  task: Init<typeof TaskSpecSchema> = { resources: { reservations: { nanoCpus: 1_000_000_000n } } },
  replicas = 1,
) {
  const spec = create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "replicated", value: { replicas: BigInt(replicas) } },
    task: testTaskSpec(task),
    autoscale,
  });
  return validateServiceSpec(spec, store);
}

const good = { minReplicas: 2n, maxReplicas: 5n, cpuPercent: 70 };

test("autoscale, bounds and a metric of what tasks reserve or are limited to", () => {
  assert.equal(validate(good).autoscale?.cpuPercent, 70);
  const limits = { nanoCpus: 500_000_000n, memoryBytes: 64n << 20n };
  validate({ ...good, cpuPercent: 100, memoryPercent: 80 }, { resources: { limits } });
  validate({ ...good, cpuPercent: 300 });
});

test("autoscale, what is wrong is refused with what to do", () => {
  const refused: readonly [Parameters<typeof validate>, RegExp][] = [
    [[{ ...good, minReplicas: 0n }], /^autoscale.min_replicas is 0: use 1 to 10000$/],
    [[{ ...good, maxReplicas: 1n }], /^autoscale.max_replicas is 1: use 2 to 10000$/],
    [
      [{ ...good, minReplicas: 1n, maxReplicas: 2n }, undefined, 3],
      /^replicated.replicas is 3, more than autoscale.max_replicas, which is 2$/,
    ],
    [[{ ...good, maxReplicas: 10_001n }], /^autoscale.max_replicas is 10001/],
    [
      [{ ...good, cpuPercent: 0 }],
      /^autoscale says not by what: set cpu_percent or memory_percent/,
    ],
    [[{ ...good, cpuPercent: 1_001 }], /^autoscale.cpu_percent is 1001: use 1 to 1000$/],
    [
      [{ ...good, memoryPercent: 70 }],
      /^autoscale.memory_percent is 70, but of nothing: .*reservations.memory_bytes \(--reserve-memory\)$/,
    ],
    [
      [{ ...good, cpuPercent: 101 }, { resources: { limits: { nanoCpus: 500_000_000n } } }],
      /^autoscale.cpu_percent is 101 of the limit, which no task exceeds: use at most 100/,
    ],
    [
      [{ ...good, scaleDownAfter: durationFromMs(-1) }],
      /^autoscale.scale_down_after is -1 ms: use 0 or more$/,
    ],
    [
      [{ ...good, scaleUpAfter: durationFromMs(3_601_000) }],
      /^autoscale.scale_up_after is 3601 s: use at most 3600 s$/,
    ],
  ];
  for (const [args, message] of refused) assert.throws(() => validate(...args), { message });
});

test("autoscale, of a global service is refused", () => {
  const spec = create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "global", value: {} },
    task: testTaskSpec(),
    autoscale: good,
  });
  assert.throws(() => validateServiceSpec(spec, store), {
    message: "autoscale is for replicated services alone",
  });
});
