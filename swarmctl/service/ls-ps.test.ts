import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Service, ServiceSchema, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aServiceSpec, aTask, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const clock = { ...systemClock, now: () => nowMs };

type Init = MessageInitShape<typeof ServiceSchema>;

function service(name: string, init: Init, labels: Readonly<Record<string, string>> = {}): Service {
  const made = create(ServiceSchema, init);
  made.id = idOf(name);
  made.spec ??= create(ServiceSpecSchema);
  made.spec.annotations = create(AnnotationsSchema, { name, labels });
  return made;
}

const web = service("web", { spec: aServiceSpec("web", 3n) }, { tier: "front" });
const agent = service("agent", { spec: { mode: { case: "global", value: {} } } });
const packed = service("packed", {
  spec: {
    mode: { case: "replicated", value: { replicas: 3n } },
    task: { placement: { maxReplicas: 1n } },
  },
});
const job = service("job", {
  spec: { mode: { case: "replicatedJob", value: { maxConcurrent: 2n, totalCompletions: 5n } } },
});
const sweep = service("sweep", { spec: { mode: { case: "globalJob", value: {} } } });
const cron = service("cron", {
  spec: {
    mode: { case: "replicatedJob", value: { maxConcurrent: 1n, totalCompletions: 1n } },
    schedule: { cron: "*/5 * * * *", timeZone: "Europe/Berlin" },
  },
  scheduleStatus: { nextAt: timestampFromMs(nowMs + 240_000) },
});
const scaled = service("scaled", {
  spec: {
    mode: { case: "replicated", value: { replicas: 2n } },
    autoscale: { minReplicas: 2n, maxReplicas: 9n, cpuPercent: 70 },
  },
  autoscaleStatus: { replicas: 4n, cpuPercent: 63, measuredAt: timestampFromMs(nowMs) },
});

function listing(...services: Service[]): Partial<Handlers<typeof ControlService>> {
  const status = (one: Service, running: bigint, desired: bigint, completed = 0n) => ({
    serviceId: one.id,
    runningTasks: running,
    desiredTasks: desired,
    completedTasks: completed,
  });
  return {
    listServices: async () => ({
      services,
      statuses: [
        status(web, 3n, 3n),
        status(agent, 2n, 2n),
        status(packed, 3n, 3n),
        status(job, 1n, 2n, 3n),
        status(sweep, 0n, 2n, 2n),
        status(cron, 0n, 1n, 1n),
        status(scaled, 4n, 4n),
      ],
    }),
  };
}

async function ls(services: Service[], ...words: string[]): Promise<string> {
  await using cluster = await FakeCluster.open({ control: listing(...services) });
  const { stdout, stderr } = await runCli(cluster, ["service", "ls", ...words], { clock });
  return stdout + stderr;
}

describe("service ls", () => {
  it("counts as Docker's does, by mode", async () => {
    const format = "{{.Name}}: {{.Mode}} {{.Replicas}}";
    assert.equal(
      await ls([web, agent, packed, job, sweep], "--format", format),
      [
        "agent: global 2/2",
        "job: replicated job 1/2 (3/5 completed)",
        "packed: replicated 3/3 (max 1 per node)",
        "sweep: global job 0/2 (2/2 completed)",
        "web: replicated 3/3",
        "",
      ].join("\n"),
    );
  });

  it("shows schedules and autoscaling where there are some", async () => {
    const [head = "", first = "", second = ""] = (await ls([cron, scaled])).split("\n");
    assert.match(head, /PORTS {3}SCHEDULE +AUTOSCALE$/);
    assert.match(first, /^cron.*\*\/5 \* \* \* \* Europe\/Berlin, next in 4 minutes$/);
    assert.match(second, /^scaled.*2-9, cpu 63%\/70%$/);
    assert.doesNotMatch(await ls([web]), /SCHEDULE|AUTOSCALE/);
  });

  for (const [filter, names] of [
    ["name=we", "web"],
    ["name=eb", ""],
    ["mode=global", "agent"],
    ["mode=replicated-job", "job"],
    ["label=tier", "web"],
    ["label=tier=back", ""],
    ["id=agent", "agent"],
  ] as const) {
    it(`filters by ${filter}`, async () => {
      const text = await ls([web, agent, job], "-f", filter, "--format", "{{.Name}}");
      assert.equal(text.trim(), names);
    });
  }

  it("names the filters that there are", async () => {
    assert.match(
      await ls([], "-f", "nam=x"),
      /no filter "nam", did you mean name\? There are id, name, mode, label/,
    );
  });
});

describe("service ps", () => {
  const tasks: Task[] = [
    aTask(web, { slot: 1n, state: TaskState.RUNNING, node: "h1" }),
    aTask(web, { slot: 2n, state: TaskState.RUNNING, node: "h2" }),
    {
      ...aTask(web, { slot: 3n, state: TaskState.READY, desired: TaskState.READY, id: "held" }),
      nodeId: "",
    },
    aTask(web, {
      slot: 4n,
      state: TaskState.PENDING,
      id: "stuck",
      err: "no suitable node (insufficient memory on 2 nodes)",
    }),
  ];
  const held = tasks[2];
  if (held?.status !== undefined)
    held.status.message = "waiting for service db, which does not exist";

  async function ps(listed: Task[], ...words: string[]): Promise<string> {
    const control: Partial<Handlers<typeof ControlService>> = {
      listNodes: async () => ({ nodes: [aNode("h1"), aNode("h2")] }),
      listTasks: async () => ({ tasks: listed }),
    };
    await using cluster = await FakeCluster.open({ control });
    const { stdout, stderr } = await runCli(cluster, ["service", "ps", ...words, "web"], { clock });
    return stdout + stderr;
  }

  it("says why a task waits", async () => {
    const text = await ps(tasks, "--no-trunc", "--format", "{{.Name}} {{.Error}}");
    assert.match(text, /^web\.3 "waiting for service db, which does not exist"$/m);
    assert.match(text, /^web\.4 "no suitable node \(insufficient memory on 2 nodes\)"$/m);
  });

  it("says for whom a task gave way", async () => {
    const desiredMessage = "preempted: gives way to db.1 of priority 9";
    const gone = aTask(web, { slot: 5n, state: TaskState.SHUTDOWN, desired: TaskState.SHUTDOWN });
    const text = await ps([{ ...gone, desiredMessage }], "--no-trunc", "--format", "{{.Error}}");
    assert.match(text, /preempted: gives way to db\.1 of priority 9/);
  });

  for (const [filter, names] of [
    ["node=h2", "web.2"],
    ["name=web.1", "web.1"],
    ["id=held", "web.3"],
    ["desired-state=ready", "web.3"],
    ["desired-state=shutdown", ""],
  ] as const) {
    it(`filters by ${filter}`, async () => {
      assert.equal((await ps(tasks, "-f", filter, "--format", "{{.Name}}")).trim(), names);
    });
  }

  it("refuses a state that there is not", async () => {
    assert.match(
      await ps(tasks, "-f", "desired-state=up"),
      /no desired state "up": there are new, pending/,
    );
  });

  it("shows IDs with --no-resolve", async () => {
    const text = await ps(tasks.slice(0, 1), "--no-resolve", "--format", "{{.Name}} {{.Node}}");
    assert.equal(text, `${web.id}.1 ${idOf("h1")}\n`);
  });

  it("shows a job's runs apart, the newest first", async () => {
    const run = (index: bigint, agoMs: number, state: TaskState): Task => ({
      ...aTask(cron, { slot: 1n, id: `run${index}`, state, agoMs, desired: TaskState.COMPLETE }),
      jobIteration: { $typeName: "swarm.v1.Version", index },
    });
    const runs = [run(1n, 600_000, TaskState.COMPLETE), run(2n, 300_000, TaskState.RUNNING)];
    assert.equal(
      await ps(runs, "--format", "table {{.ID}}\\t{{.Name}}\\t{{.Run}}"),
      "ID     NAME     RUN\nrun2   cron.1   5 minutes ago\nrun1   cron.1   10 minutes ago\n",
    );
  });
});

it("service ps says when and why the managers last changed the number of a service", async () => {
  const status = {
    $typeName: "swarm.v1.AutoscaleStatus" as const,
    replicas: 4n,
    cpuPercent: 63,
    memoryPercent: 0,
    message: "cpu 93% of 70%",
    scaledAt: timestampFromMs(nowMs - 180_000),
  };
  const control: Partial<Handlers<typeof ControlService>> = {
    listNodes: async () => ({ nodes: [] }),
    listTasks: async () => ({ tasks: [] }),
    getService: async () => ({ service: { ...scaled, autoscaleStatus: status } }),
  };
  await using cluster = await FakeCluster.open({ control });
  const ps = (...words: string[]) =>
    runCli(cluster, ["service", "ps", ...words, "scaled"], { clock });
  assert.equal((await ps()).stderr, "scaled was scaled to 4 3 minutes ago: cpu 93% of 70%\n");
  assert.equal((await ps("-q")).stderr, "");
  assert.equal((await ps("--format", "json")).stderr, "");
});
