import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  DependencySchema,
  type JobSchedule,
  type RunOverlap,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { openTestStore, testNetwork, testService } from "../testing/fixtures.ts";
import { validateServiceSpec } from "./validate-service.ts";

type Init = Exclude<MessageInitShape<typeof ServiceSpecSchema>, ServiceSpec>;

const { store, put } = openTestStore();
await put("network", testNetwork("net", "10.1.0.0/24"));

function spec(init: Init): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name: "web" },
    task: { runtime: { case: "container", value: { image: "busybox" } } },
    mode: { case: "replicatedJob", value: {} },
    ...init,
  });
}

const scheduled = (schedule: Partial<JobSchedule>) =>
  spec({ schedule: { cron: "0 0 * * *", ...schedule } as JobSchedule });

test("modes, a job's completions and how many at a time are filled in as Swarm does", () => {
  const jobOf = (value: { maxConcurrent?: bigint; totalCompletions?: bigint }) => {
    const { mode } = validateServiceSpec(spec({ mode: { case: "replicatedJob", value } }), store);
    assert.ok(mode.case === "replicatedJob");
    return [mode.value.maxConcurrent, mode.value.totalCompletions];
  };
  assert.deepEqual(jobOf({}), [1n, 1n]);
  assert.deepEqual(jobOf({ maxConcurrent: 3n }), [3n, 3n]);
  assert.deepEqual(jobOf({ totalCompletions: 5n }), [1n, 5n]);
  assert.deepEqual(jobOf({ maxConcurrent: 2n, totalCompletions: 5n }), [2n, 5n]);
  for (const name of ["global", "globalJob"] as const) {
    const mode = { case: name, value: {} } as const;
    assert.equal(validateServiceSpec(spec({ mode }), store).mode.case, name);
  }
});

const refused: readonly (readonly [ServiceSpec, string])[] = [
  [
    spec({ update: { parallelism: 1n } }),
    "update is given, but update and rollback configuration is not supported for jobs: leave it out",
  ],
  [
    spec({ mode: { case: "globalJob", value: {} }, rollback: {} }),
    "rollback is given, but update and rollback configuration is not supported for jobs: leave it out",
  ],
  [
    spec({ mode: { case: "replicatedJob", value: { totalCompletions: 10_001n } } }),
    "replicated_job.total_completions is 10001: use 1 to 10000",
  ],
  [
    spec({ mode: { case: "global", value: {} }, schedule: { cron: "@daily" } }),
    "schedule is for jobs: use the mode replicated-job or global-job",
  ],
  [
    spec({
      mode: { case: "global", value: {} },
      task: {
        runtime: { case: "container", value: { image: "busybox" } },
        networks: [{ target: "net", addresses: ["10.1.0.7"] }],
      },
    }),
    "task.networks[0].addresses are given, but the mode is global: only slots of replicated services",
  ],
  [
    scheduled({ cron: "61 * * * *" }),
    'schedule.cron: "61 * * * *" has "61" as minute: use 0 to 59',
  ],
  [
    scheduled({ timeZone: "Europe/Berlim" }),
    'schedule.time_zone: "Europe/Berlim" is not a time zone: did you mean Europe/Berlin?',
  ],
  [scheduled({ overlap: 7 as RunOverlap }), "schedule.overlap is 7, which has no meaning"],
  [scheduled({ keepFailed: 1_001 }), "schedule.keep_failed is 1001: use 0 to 1000"],
  [
    scheduled({ startingDeadline: durationFromMs(5_000) }),
    "schedule.starting_deadline is 5 s: use 10 s or more, so that a change of leader costs no run",
  ],
];

for (const [given, message] of refused) {
  test(`modes, refused: ${message}`, () => {
    assert.throws(() => validateServiceSpec(given, store), { code: "invalid-argument", message });
  });
}

test("dependencies, a service does not wait for itself, for one twice, or in a circle", async () => {
  const waiting = (name: string, ...others: readonly string[]) => {
    const service = testService({ name });
    assert.ok(service.spec);
    service.spec.dependsOn = others.map((one) => create(DependencySchema, { service: one }));
    return service;
  };
  await put("service", waiting("b", "c", "x"), waiting("c", "d"));
  const check = (name: string, ...others: readonly string[]) => {
    validateServiceSpec(waiting(name, ...others).spec, store);
  };
  check("a", "b", "c", "not-there");
  check("d", "x");
  const because = (message: string) => ({ code: "invalid-argument", message });
  assert.throws(() => check("a", "a"), because('depends_on[0].service is "a" itself'));
  assert.throws(
    () => check("a", "b", "b"),
    because('depends_on[1].service names "b" a second time'),
  );
  const circle = "depends_on[1].service makes services wait for one another: d → b → c → d";
  assert.throws(() => check("d", "x", "b"), because(circle));
  assert.throws(() => check("a", ""), because("depends_on[0].service is empty: give a name"));
});
