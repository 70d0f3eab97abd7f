import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ControlService, WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Service,
  ServiceSchema,
  StoreActionKind,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  RestartCondition,
  RunState,
  TaskState,
  UpdateState,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { systemClock } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aTask, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

type Event = MessageInitShape<typeof WatchResponseSchema>;
type Control = Partial<Handlers<typeof ControlService>>;

/** Time passes at once wherever it is waited for; the calendar stands still. */
const hasty: Clock = {
  ...systemClock,
  now: () => nowMs,
  timer: (_, callback) => systemClock.timer(1, callback),
};

function service(init: MessageInitShape<typeof ServiceSchema>): Service {
  return create(ServiceSchema, { id: idOf("web"), ...init });
}

function told(value: Service | Task): Event {
  const object =
    value.$typeName === "swarm.v1.Task"
      ? ({ case: "task", value } as const)
      : ({ case: "service", value } as const);
  return { events: [{ action: { kind: StoreActionKind.UPDATE, object: { object } } }] };
}

interface Given {
  readonly service: Service;
  readonly events: readonly Event[];
  readonly desired?: bigint;
}

/** A manager that answers with the service, and then tells of the events. */
function manager({ service: answer, events, desired = 0n }: Given): Control {
  return {
    createService: async () => ({ service: answer }),
    getService: async () => ({ service: answer, status: { desiredTasks: desired } }),
    updateService: async () => ({ service: answer }),
    promoteService: async () => ({ service: answer }),
    runService: async () => ({ service: answer }),
    rebalanceService: async () => ({ service: answer }),
    async *watch(_, { signal }) {
      yield told(answer);
      yield* events;
      await new Promise<void>((done) => signal.addEventListener("abort", () => done()));
    },
  };
}

async function run(given: Given, words: string) {
  await using cluster = await FakeCluster.open({ control: manager(given) });
  return await runCli(cluster, ["service", ...words.split(" ")], { clock: hasty });
}

const createWords = "create --name web --timeout 0 busybox";

describe("create of a global service", () => {
  const global = service({
    spec: { annotations: { name: "web" }, mode: { case: "global", value: {} } },
  });
  const onNode = (node: string, state: TaskState) =>
    told({ ...aTask(global, { slot: 0n, state, node, id: `task-${node}` }) });

  it("waits for a task on each node that managers count", async () => {
    const events = [
      onNode("h1", TaskState.RUNNING),
      onNode("h2", TaskState.PREPARING),
      onNode("h2", TaskState.RUNNING),
    ];
    const { code, stdout } = await run({ service: global, events, desired: 2n }, createWords);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /overall progress: 1 out of 2 tasks\noverall progress: 2 out of 2 tasks\n$/,
    );
  });

  it("names the task by its node where it fails", async () => {
    const failed = aTask(global, {
      slot: 0n,
      state: TaskState.REJECTED,
      node: "h1",
      err: "no such image",
    });
    const late = "create --name web --timeout 300ms busybox";
    await using cluster = await FakeCluster.open({
      control: manager({ service: global, events: [told(failed)], desired: 1n }),
    });
    const { code, stderr } = await runCli(cluster, ["service", ...late.split(" ")]);
    assert.equal(code, 1);
    assert.match(stderr, /after 0\.3 s 0 of 1 tasks run \(web\.h10+: no such image\)/);
  });
});

describe("create of a job", () => {
  const job = (run: bigint, condition: RestartCondition = RestartCondition.ON_FAILURE) =>
    service({
      spec: {
        annotations: { name: "web" },
        mode: { case: "replicatedJob", value: { totalCompletions: 2n, maxConcurrent: 1n } },
        task: { restart: { condition } },
      },
      jobStatus: { jobIteration: { index: run } },
    });
  const taskOf = (of: Service, slot: bigint, state: TaskState, err = "") =>
    told({
      ...aTask(of, { slot, state, err, desired: TaskState.COMPLETE }),
      jobIteration: create(VersionSchema, { index: of.jobStatus?.jobIteration?.index ?? 0n }),
    });

  it("waits until all its tasks have completed", async () => {
    const one = job(1n);
    const events = [
      taskOf(one, 1n, TaskState.RUNNING),
      taskOf(one, 1n, TaskState.COMPLETE),
      taskOf(one, 2n, TaskState.COMPLETE),
    ];
    const { code, stdout, stderr } = await run({ service: one, events }, createWords);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(stdout.trimEnd().split("\n").slice(1), [
      "job progress: 0 out of 2 complete, 0 running",
      "job progress: 0 out of 2 complete, 1 running",
      "job progress: 1 out of 2 complete, 0 running",
      "job progress: 2 out of 2 complete, 0 running",
    ]);
  });

  it("fails with the task that is not tried again", async () => {
    const one = job(1n, RestartCondition.NONE);
    const events = [taskOf(one, 1n, TaskState.FAILED, "task: non-zero exit (3)")];
    const { code, stderr } = await run({ service: one, events }, createWords);
    assert.equal(code, 1);
    assert.match(stderr, /has not converged: web\.1 is not restarted: task: non-zero exit \(3\)/);
  });

  it("has no limit of time by default", async () => {
    const one = job(1n);
    // The hasty clock would end any wait that has one.
    const events = [taskOf(one, 1n, TaskState.COMPLETE), taskOf(one, 2n, TaskState.COMPLETE)];
    const { code } = await run({ service: one, events }, "create --name web busybox");
    assert.equal(code, 0);
  });

  it("counts tasks of earlier runs for nothing", async () => {
    const events = [
      taskOf(job(1n), 1n, TaskState.COMPLETE),
      taskOf(job(1n), 2n, TaskState.COMPLETE),
    ];
    const late = "create --name web --timeout 200ms busybox";
    await using cluster = await FakeCluster.open({
      control: manager({ service: job(2n), events }),
    });
    const { stderr } = await runCli(cluster, ["service", ...late.split(" ")]);
    assert.match(stderr, /after 0\.2 s 0 of 2 tasks are complete/);
  });
});

describe("a job with a schedule", () => {
  const scheduled = (state: RunState) =>
    service({
      spec: {
        annotations: { name: "web" },
        mode: { case: "replicatedJob", value: { totalCompletions: 1n, maxConcurrent: 1n } },
        schedule: { cron: "@hourly" },
      },
      jobStatus: { jobIteration: { index: 3n } },
      scheduleStatus: {
        nextAt: timestampFromMs(nowMs + 600_000),
        runs: [{ iteration: { index: 3n }, state }],
      },
    });

  it("is not waited for when it is made", async () => {
    const given = { service: scheduled(RunState.RUNNING), events: [] };
    const { code, stdout } = await run(given, createWords);
    assert.equal(code, 0);
    assert.match(stdout, /^scheduled: @hourly, next in 10 minutes$/m);
  });

  for (const [word, state, code, problem] of [
    ["completed", RunState.COMPLETED, 0, /^$/],
    ["failed", RunState.FAILED, 1, /its run failed/],
    ["replaced", RunState.REPLACED, 1, /another run took the place of this one/],
  ] as const) {
    it(`run-now tells how the run ended: ${word}`, async () => {
      const given = { service: scheduled(RunState.RUNNING), events: [told(scheduled(state))] };
      const outcome = await run(given, "run-now web");
      assert.equal(outcome.code, code);
      assert.match(outcome.stderr, problem);
    });
  }
});

describe("an update with canaries", () => {
  const waiting = (promoteAfter: boolean, state: UpdateState = UpdateState.CANARY) =>
    service({
      spec: {
        annotations: { name: "web" },
        mode: { case: "replicated", value: { replicas: 1n } },
        update: { canary: 1n, ...(promoteAfter && { canaryPromoteAfter: { seconds: 60n } }) },
      },
      updateStatus: { state, message: "1 of 2 slots are canaries" },
    });

  it("ends when it is its user's turn, and says so", async () => {
    const given = { service: waiting(false), events: [] };
    const { code, stderr } = await run(given, "update --timeout 0 --label-add a=b web");
    assert.equal(code, 0);
    assert.match(stderr, /^1 of 2 slots are canaries$/m);
  });

  it("goes on where it promotes itself", async () => {
    const done = waiting(true, UpdateState.COMPLETED);
    const events = [told(aTask(done, { slot: 1n, state: TaskState.RUNNING })), told(done)];
    const { code, stderr } = await run(
      { service: waiting(true), events },
      "promote --timeout 0 web",
    );
    assert.deepEqual([code, stderr], [0, ""]);
  });
});

describe("rebalance", () => {
  it("waits until it is done", async () => {
    const at = (done: bigint) =>
      service({
        spec: {
          annotations: { name: "web" },
          mode: { case: "replicated", value: { replicas: 0n } },
        },
        rebalances: 2n,
        rebalancesDone: done,
      });
    const given = { service: at(1n), events: [told(at(2n))] };
    assert.equal((await run(given, "rebalance --timeout 0 web")).code, 0);
  });
});

describe("more than twenty tasks", () => {
  it("are counted by their states on a terminal", async () => {
    const many = service({
      spec: {
        annotations: { name: "web" },
        mode: { case: "replicated", value: { replicas: 30n } },
      },
    });
    const tasks = Array.from({ length: 30 }, (_, index) =>
      told(aTask(many, { slot: BigInt(index + 1), id: `task${index}`, state: TaskState.RUNNING })),
    );
    await using cluster = await FakeCluster.open({
      control: manager({ service: many, events: tasks }),
    });
    const words = ["service", ...createWords.split(" ")];
    const { stdout } = await runCli(cluster, words, {
      clock: hasty,
      isTTY: true,
      env: { NO_COLOR: "1" },
    });
    assert.ok(stdout.endsWith("30 out of 30 tasks\n\x1b[Krunning: 30\n\x1b[J"));
    assert.ok(!stdout.includes("\x1b[32m"));
  });
});
