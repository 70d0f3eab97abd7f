import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AutoscaleSchema, AutoscaleStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { aService, aServiceSpec, nowMs } from "../testing/objects.ts";
import { prettyService } from "./pretty.ts";

test("service inspect --pretty, autoscaled: bounds, use, target, and why there are so many", () => {
  const autoscale = create(AutoscaleSchema, { minReplicas: 2n, maxReplicas: 9n, cpuPercent: 70 });
  const service = aService({ ...aServiceSpec("web", 3n), autoscale });
  const shown = (wanted: typeof service) => prettyService(wanted, { networks: [], nowMs });
  assert.match(
    shown(service),
    /Replicas: +3\nAutoscale\n +Replicas: +2 to 9\n +CPU: +\? of 70% wanted\n/,
  );
  const autoscaleStatus = create(AutoscaleStatusSchema, {
    replicas: 5n,
    cpuPercent: 140,
    message: "scaled from 3 to 5",
    scaledAt: timestampFromMs(nowMs - 120_000),
    measuredAt: timestampFromMs(nowMs),
  });
  assert.match(
    shown({ ...service, autoscaleStatus }),
    /Replicas: +5\nAutoscale\n.*\n +CPU: +140% of 70% wanted\n +Last scaled: +2 minutes ago\n +Message: +scaled from 3 to 5\n/,
  );
  assert.doesNotMatch(shown(aService(aServiceSpec("web"))), /Autoscale/);
});
