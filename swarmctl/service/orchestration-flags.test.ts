import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { runCli } from "../testing/run-cli.ts";
import { parseDependency } from "./dependency-flags.ts";

/** The spec that `create` and then each `update` make, as JSON; what goes wrong is thrown. */
async function specAfter(create: string, ...updates: string[]) {
  const control = new FakeControl();
  await using cluster = await FakeCluster.open({ control: control.handlers });
  const lines = [
    `create -d --name web ${create} busybox`,
    ...updates.map((flags) => `update -d ${flags} web`),
  ];
  for (const line of lines) {
    const { code, stderr } = await runCli(cluster, ["service", ...line.split(/ +/)]);
    if (code !== 0) throw new Error(stderr);
  }
  const [service] = control.services.values();
  assert.ok(service?.spec !== undefined);
  return Object(toJson(ServiceSpecSchema, service.spec));
}

describe("modes", () => {
  const cases: readonly (readonly [flags: string, mode: object])[] = [
    ["", { replicated: { replicas: "1" } }],
    ["--replicas 0", { replicated: {} }],
    ["--mode global", { global: {} }],
    ["--mode global-job", { globalJob: {} }],
    ["--mode replicated-job", { replicatedJob: { maxConcurrent: "1", totalCompletions: "1" } }],
    [
      "--mode replicated-job --replicas 5",
      { replicatedJob: { maxConcurrent: "5", totalCompletions: "5" } },
    ],
    [
      "--mode replicated-job --replicas 5 --max-concurrent 2",
      { replicatedJob: { maxConcurrent: "2", totalCompletions: "5" } },
    ],
    [
      "--mode replicated-job --max-concurrent 2",
      { replicatedJob: { maxConcurrent: "2", totalCompletions: "2" } },
    ],
    ["--schedule @hourly", { replicatedJob: { maxConcurrent: "1", totalCompletions: "1" } }],
    ["--replicas-min 2 --replicas-max 5 --scale-cpu 70%", { replicated: { replicas: "2" } }],
  ];
  for (const [flags, mode] of cases) {
    it(flags || "none given", async () => {
      const { replicated, global, replicatedJob, globalJob } = await specAfter(flags);
      const spec = { replicated, global, replicatedJob, globalJob };
      assert.deepEqual(JSON.parse(JSON.stringify(spec)), mode);
    });
  }

  it("jobs restart until they have ended well, others always", async () => {
    const conditionOf = async (flags: string) => (await specAfter(flags)).task.restart.condition;
    assert.equal(await conditionOf("--mode global-job"), "RESTART_CONDITION_ON_FAILURE");
    assert.equal(await conditionOf("--mode global"), "RESTART_CONDITION_ANY");
    const none = "--mode replicated-job --restart-condition none";
    assert.equal(await conditionOf(none), undefined);
  });

  it("update changes a job's numbers", async () => {
    const spec = await specAfter("--mode replicated-job", "--replicas 4", "--max-concurrent 2");
    assert.deepEqual(spec.replicatedJob, { maxConcurrent: "2", totalCompletions: "4" });
  });

  it("numbers that a mode does not have are refused", async () => {
    const problem =
      /--replicas goes with modes replicated and replicated-job, and this is a global service/;
    await assert.rejects(specAfter("--mode global --replicas 2"), problem);
    await assert.rejects(specAfter("--mode global", "--replicas 2"), problem);
    await assert.rejects(
      specAfter("--max-concurrent 2"),
      /--max-concurrent goes with mode replicated-job/,
    );
    await assert.rejects(
      specAfter("--mode bulk"),
      /Choose one of: replicated, global, replicated-job/,
    );
  });
});

describe("placement flags", () => {
  it("make a placement, and change one", async () => {
    const flags =
      "--constraint node.role==worker --constraint node.labels.disk!=hdd --placement-pref spread=node.labels.zone --replicas-max-per-node 2 --generic-resource gpu=2 --priority -3";
    const { task } = await specAfter(flags);
    assert.deepEqual(task.placement, {
      constraints: ["node.role==worker", "node.labels.disk!=hdd"],
      preferences: [{ spread: { spreadDescriptor: "node.labels.zone" } }],
      maxReplicas: "2",
    });
    assert.deepEqual(task.resources.reservations.generic, [
      { discrete: { kind: "gpu", value: "2" } },
    ]);
    assert.equal(task.priority, -3);
    const changed = await specAfter(
      flags,
      "--constraint-rm node.role==worker --constraint-add node.ip==10.0.0.0/8",
      "--placement-pref-rm spread=node.labels.zone --placement-pref-add spread=node.labels.rack",
      "--generic-resource-add gpu=1 --generic-resource-add ssd=4 --replicas-max-per-node 0",
      "--generic-resource-rm ssd",
    );
    assert.deepEqual(changed.task.placement, {
      constraints: ["node.labels.disk!=hdd", "node.ip==10.0.0.0/8"],
      preferences: [{ spread: { spreadDescriptor: "node.labels.rack" } }],
    });
    assert.deepEqual(changed.task.resources.reservations.generic, [
      { discrete: { kind: "gpu", value: "1" } },
    ]);
  });

  it("takes a constraint out however it is spaced", async () => {
    const { task } = await specAfter(
      "--constraint node.role==worker",
      "--constraint-rm node.role==worker",
    );
    assert.equal(task.placement.constraints, undefined);
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const words = ["-d", "--name", "a", "--constraint", "node.role == worker", "busybox"];
    await runCli(cluster, ["service", "create", ...words]);
    await runCli(cluster, ["service", "update", "-d", "--constraint-rm", "node.role==worker", "a"]);
    const [service] = control.services.values();
    assert.deepEqual(service?.spec?.task?.placement?.constraints, []);
  });

  it("refuse what is none", async () => {
    await assert.rejects(specAfter("--constraint worker"), /Write KEY==VALUE or KEY!=VALUE/);
    await assert.rejects(specAfter("--placement-pref pack=x"), /Write spread=node\.labels/);
    await assert.rejects(specAfter("--generic-resource gpu=UUID1"), /Write KIND=COUNT/);
  });
});

describe("schedule flags", () => {
  it("make a schedule, change it and take it out", async () => {
    const flags =
      "--schedule @daily --time-zone Europe/Berlin --schedule-overlap replace --schedule-keep-completed 0 --schedule-keep-failed 2 --schedule-suspend --schedule-deadline 1m";
    const { schedule } = await specAfter(flags);
    assert.deepEqual(schedule, {
      cron: "@daily",
      timeZone: "Europe/Berlin",
      overlap: "RUN_OVERLAP_REPLACE",
      keepCompleted: 0,
      keepFailed: 2,
      suspended: true,
      startingDeadline: "60s",
    });
    const changed = await specAfter(
      "--schedule @daily",
      "--schedule @hourly --schedule-suspend=false",
    );
    assert.deepEqual(changed.schedule, { cron: "@hourly" });
    assert.equal((await specAfter("--schedule @daily", "--no-schedule")).schedule, undefined);
    await assert.rejects(specAfter("--time-zone UTC"), /go with --schedule/);
  });
});

describe("autoscaling flags", () => {
  it("make bounds, change them and take them out", async () => {
    const flags = "--replicas-max 9 --scale-cpu 70% --scale-memory 80 --scale-down-after 1m";
    const { autoscale } = await specAfter(flags);
    assert.deepEqual(autoscale, {
      minReplicas: "1",
      maxReplicas: "9",
      cpuPercent: 70,
      memoryPercent: 80,
      scaleDownAfter: "60s",
    });
    const changed = await specAfter(flags, "--replicas-min 3 --scale-memory 0");
    assert.deepEqual(
      [changed.autoscale.minReplicas, changed.autoscale.memoryPercent],
      ["3", undefined],
    );
    assert.equal((await specAfter(flags, "--no-autoscale")).autoscale, undefined);
  });

  it("refuse what does not fit", async () => {
    await assert.rejects(specAfter("--scale-cpu 70%"), /needs --replicas-max/);
    await assert.rejects(specAfter("--replicas-max 3"), /needs --scale-cpu or --scale-memory/);
    await assert.rejects(
      specAfter("--replicas-min 4 --replicas-max 3 --scale-cpu 1"),
      /--replicas-min 4 is not between 1 and --replicas-max 3/,
    );
    await assert.rejects(specAfter("--scale-cpu much"), /Write a percentage, such as 70%/);
  });
});

describe("--depends-on", () => {
  it("takes short and long forms, and changes by name", async () => {
    const { dependsOn } = await specAfter(
      "--depends-on db:healthy --depends-on service=seed,condition=service_completed_successfully,required=false",
      "--depends-on-rm db --depends-on-add cache",
    );
    assert.deepEqual(dependsOn, [
      { service: "seed", condition: "DEPENDENCY_CONDITION_COMPLETED", optional: true },
      { service: "cache" },
    ]);
  });

  for (const [text, message] of [
    ["", /Name a service/],
    ["db:up", /Choose one of: started, healthy, completed/],
    ["condition=healthy", /Say service=NAME/],
    ["service=db,when=now", /"when" is none of service, condition, required/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseDependency(text), { message });
    });
  }
});

describe("canary flags", () => {
  it("are the update's", async () => {
    const { update, rollback } = await specAfter(
      "--update-canary 2 --update-canary-promote-after 5m",
    );
    assert.deepEqual(update, { parallelism: "1", canary: "2", canaryPromoteAfter: "300s" });
    assert.equal(rollback, undefined);
  });
});

describe("Docker's forms", () => {
  it("a service without a name is called after its image", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, ["service", "create", "-d", "registry:5000/busybox:1"]);
    const [service] = control.services.values();
    assert.match(service?.spec?.annotations?.name ?? "", /^busybox-.{5}$/);
  });

  it("--host NAME:IP is a line of /etc/hosts", async () => {
    const { task } = await specAfter(
      "--host db:10.0.0.1 --add-host v6:[2001:db8::1] --host=x:host-gateway",
    );
    assert.deepEqual(task.container.hosts, ["10.0.0.1 db", "2001:db8::1 v6", "host-gateway x"]);
  });

  it("--host HOST[:PORT] is still a manager", async () => {
    for (const host of ["m1", "m1:2377", "10.0.0.1:2377", "2001:db8::1"]) {
      await assert.rejects(specAfter(`--host ${host}`), /To reach the manager at "/);
    }
  });

  it("--tty=false is --no-tty, and flags of the container's command are its own", async () => {
    const { task } = await specAfter("--tty=true --init=false --read-only=0", "--tty=false");
    assert.deepEqual(
      [task.container.tty, task.container.init, task.container.readOnly],
      [undefined, false, undefined],
    );
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const words = "service create -d=true --name a -e=T=1 -l=a=b -eU=2 busybox x --tty=false";
    assert.equal((await runCli(cluster, words.split(" "))).code, 0);
    const runtime = [...control.services.values()][0]?.spec?.task?.runtime;
    assert.ok(runtime?.case === "container");
    assert.deepEqual(runtime.value.args, ["x", "--tty=false"]);
    assert.deepEqual(runtime.value.env, ["T=1", "U=2"]);
  });
});
