import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  DependencyCondition,
  MountType,
  RunOverlap,
  RunState,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { idOf, nowMs } from "../testing/objects.ts";
import { prettyService } from "./pretty.ts";

const surroundings = { networks: [], nowMs };

function begin(text: string, end: string): string {
  return text.slice(0, text.indexOf(`\n${end}`));
}

it("shows a job with its schedule and runs", () => {
  const job = create(ServiceSchema, {
    id: idOf("job"),
    spec: {
      annotations: { name: "job" },
      mode: { case: "replicatedJob", value: { maxConcurrent: 2n, totalCompletions: 5n } },
      schedule: { cron: "@daily", overlap: RunOverlap.REPLACE, keepFailed: 0 },
    },
    scheduleStatus: {
      nextAt: timestampFromMs(nowMs + 7_200_000),
      runs: [
        {
          iteration: { index: 1n },
          startedAt: timestampFromMs(nowMs - 7_200_000),
          scheduledAt: timestampFromMs(nowMs - 7_200_000),
          state: RunState.COMPLETED,
        },
        { iteration: { index: 2n }, startedAt: timestampFromMs(nowMs - 60_000) },
      ],
    },
  });
  assert.equal(
    begin(prettyService(job, surroundings), "UpdateConfig"),
    [
      `ID:               ${idOf("job")}`,
      "Name:             job",
      "Service Mode:     replicated job",
      "  Max concurrent: 2",
      "  Total completions: 5",
      "Schedule",
      "  Cron:           @daily",
      "  Time zone:      UTC",
      "  Overlap:        replace",
      "  Keep:           3 completed, 0 failed",
      "  Next run:       in 2 hours",
      "  Run 2:          running, began about a minute ago, by a user",
      "  Run 1:          completed, began 2 hours ago",
    ].join("\n"),
  );
});

it("shows where a service runs, what it waits for, and what its containers have", () => {
  const web = create(ServiceSchema, {
    id: idOf("web"),
    spec: {
      annotations: { name: "web" },
      mode: { case: "global", value: {} },
      update: { parallelism: 1n, canary: 2n, canaryPromoteAfter: { seconds: 60n } },
      dependsOn: [
        { service: "db", condition: DependencyCondition.HEALTHY },
        { service: "cache", optional: true },
      ],
      task: {
        priority: 5,
        placement: {
          constraints: ["node.role==worker"],
          preferences: [
            { preference: { case: "spread", value: { spreadDescriptor: "node.labels.zone" } } },
          ],
          maxReplicas: 2n,
        },
        resources: {
          limits: { memoryBytes: 67_108_864n },
          reservations: {
            nanoCpus: 500_000_000n,
            generic: [{ resource: { case: "discrete", value: { kind: "gpu", value: 1n } } }],
          },
        },
        logDriver: { name: "local", options: { "max-size": "1m" } },
        runtime: {
          case: "container",
          value: {
            image: "busybox",
            init: false,
            dir: "/srv",
            mounts: [{ type: MountType.BIND, source: "/a", target: "/b", readOnly: true }],
            secrets: [{ secretName: "key", file: { name: "k" } }],
          },
        },
      },
    },
    updateStatus: { state: UpdateState.CANARY, message: "2 of 9 tasks are changed" },
    rebalances: 1n,
  });
  const text = prettyService(web, surroundings);
  for (const part of [
    "DependsOn (not met yet)\n  db:             healthy\n  cache:          started, if it is there\n",
    "UpdateStatus\n  State:          canary\n  Message:        2 of 9 tasks are changed\n",
    "Placement\n  Constraints:    node.role==worker\n  Preferences:    spread=node.labels.zone\n  Max replicas per node: 2\n  Priority:       5\n  Rebalance:      under way\n",
    "  Canaries:       2\n  Promoted:       after 60s\n",
    "  Init:           false\n  Dir:            /srv\nMounts\n  /b:             bind, /a, read-only\nSecrets\n  k:              key\n",
    "Log Driver\n  Name:           local\n  LogOpts:        max-size=1m\n",
    "Resources\n  Reservations:   0.5 CPU, gpu=1\n  Limits:         64MiB memory\n",
  ]) {
    assert.ok(text.includes(part), `${part} is not in ${text}`);
  }
});
