import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { WatchRequest, WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  ConfigSchema,
  type Node,
  SecretSchema,
  type Service,
  StoreActionKind,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  Health,
  NodeAvailability,
  NodeState,
  RunState,
  ScheduleStatusSchema,
  TaskState,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aService, aServiceSpec, aTask, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";
import type { WatchedObject } from "./event.ts";
import { eventsOf } from "./events-of.ts";

const wrap = (object: Service | Task | Node) =>
  ({
    case: object.$typeName.slice("swarm.v1.".length).toLowerCase(),
    value: object,
  }) as WatchedObject;

/** What is told of a change, without the ID and with no more than the attributes beside the name. */
function told<T extends Service | Task | Node>(before: T | undefined, after: T | undefined) {
  const change = { before: before && wrap(before), after: after && wrap(after) };
  return eventsOf(change).map(({ action, attributes: { name: _name, ...attributes } }) => ({
    action,
    ...attributes,
  }));
}

const web = () => aService(aServiceSpec("web", 2n));
const changed = <T>(object: T, change: Partial<T>): T => ({ ...object, ...change });

describe("events of services", () => {
  it("tell what a user changed", () => {
    const more = aService(aServiceSpec("web", 5n));
    assert.deepEqual(told(undefined, web()), [{ action: "create" }]);
    assert.deepEqual(told(web(), undefined), [{ action: "remove" }]);
    assert.deepEqual(told(web(), more), [
      { action: "update", "replicas.old": "2", "replicas.new": "5" },
    ]);
  });

  it("tell how far an update is, and why it stopped", () => {
    const service = web();
    const at = (state: UpdateState, message = "") =>
      changed(service, {
        updateStatus: { $typeName: "swarm.v1.UpdateStatus", state, message, promoted: false },
      });
    assert.deepEqual(told(service, at(UpdateState.UPDATING)), [
      { action: "update", "updatestate.new": "updating" },
    ]);
    assert.deepEqual(told(at(UpdateState.UPDATING), at(UpdateState.PAUSED, "task 1 failed")), [
      {
        action: "update",
        "updatestate.old": "updating",
        "updatestate.new": "paused",
        message: "task 1 failed",
      },
    ]);
  });

  it("tell of scaling by itself", () => {
    const scaled = changed(web(), {
      autoscaleStatus: {
        $typeName: "swarm.v1.AutoscaleStatus",
        replicas: 4n,
        message: "cpu is at 90%",
        cpuPercent: 90,
        memoryPercent: 0,
      },
    });
    assert.deepEqual(told(web(), scaled), [
      { action: "scale", "replicas.old": "2", "replicas.new": "4", message: "cpu is at 90%" },
    ]);
    const { autoscaleStatus } = scaled;
    assert.ok(autoscaleStatus);
    const same = changed(web(), { autoscaleStatus: { ...autoscaleStatus, replicas: 2n } });
    assert.deepEqual(told(web(), same), []);
  });

  it("tell of each run that begins and ends", () => {
    const run = (iteration: bigint, state: RunState) => ({
      iteration: { index: iteration },
      state,
    });
    const withRuns = (...runs: ReturnType<typeof run>[]) =>
      changed(web(), { scheduleStatus: create(ScheduleStatusSchema, { runs }) });
    const first = withRuns(run(1n, RunState.RUNNING));
    assert.deepEqual(told(web(), first), [{ action: "run_start", run: "1" }]);
    const second = withRuns(run(1n, RunState.FAILED), run(2n, RunState.RUNNING));
    assert.deepEqual(told(first, second), [
      { action: "run_fail", run: "1" },
      { action: "run_start", run: "2" },
    ]);
  });

  it("are none where the managers change what is their own alone", () => {
    const allocated = changed(web(), {
      endpoint: { $typeName: "swarm.v1.Endpoint", ports: [], virtualIps: [] },
    });
    assert.deepEqual(told(web(), allocated), []);
  });
});

describe("events of tasks", () => {
  const where = { service: "web", node: idOf("h1") };
  const at = (state: TaskState, err = "") => aTask(web(), { slot: 1n, state, err });

  it("tell why a task waits, once for each reason", () => {
    const waiting = (err: string) => ({ ...at(TaskState.PENDING, err), nodeId: "" });
    const none = "no suitable node (insufficient memory on 2 nodes)";
    const here = { service: "web" };
    assert.deepEqual(told(waiting(""), waiting(none)), [{ action: "wait", ...here, reason: none }]);
    assert.deepEqual(told(waiting(none), waiting(none)), []);
  });

  it("tell each state, and why it failed", () => {
    assert.deepEqual(told(at(TaskState.READY), at(TaskState.RUNNING)), [
      { action: "running", ...where, "state.old": "ready", "state.new": "running" },
    ]);
    assert.deepEqual(told(at(TaskState.RUNNING), at(TaskState.FAILED, "exit code 3")), [
      {
        action: "failed",
        ...where,
        "state.old": "running",
        "state.new": "failed",
        error: "exit code 3",
        exitCode: "0",
      },
    ]);
  });

  it("tell of a restart in place, with how the attempt before ended", () => {
    const before = at(TaskState.RUNNING);
    const attempts = [{ number: 1, exitCode: 137, reason: "out of memory" }];
    const after = aTask(web(), { slot: 1n, state: TaskState.RUNNING, attempt: 2, attempts });
    assert.deepEqual(told(before, after), [
      { action: "restart", ...where, attempt: "2", exitCode: "137", reason: "out of memory" },
    ]);
  });

  it("tell its health in Docker's words, and that it shall stop", () => {
    const before = at(TaskState.RUNNING);
    const healthy = structuredClone(before);
    assert.ok(healthy.status);
    healthy.status.container = {
      $typeName: "swarm.v1.ContainerStatus",
      containerId: "",
      pid: 1,
      exitCode: 0,
      oomKilled: false,
      health: Health.HEALTHY,
    };
    assert.deepEqual(told(before, healthy), [{ action: "health_status: healthy", ...where }]);
    const stopped = { ...before, desiredState: TaskState.SHUTDOWN, desiredMessage: "preempted" };
    assert.deepEqual(told(before, stopped), [{ action: "stop", ...where, reason: "preempted" }]);
  });
});

test("events of nodes tell state and availability, and nothing of heartbeats", () => {
  const node = aNode("h1");
  const down = structuredClone(node);
  assert.ok(down.status && down.spec);
  down.status.state = NodeState.DOWN;
  down.spec.availability = NodeAvailability.DRAIN;
  assert.deepEqual(told(node, down), [
    {
      action: "update",
      "state.old": "ready",
      "state.new": "down",
      "availability.old": "active",
      "availability.new": "drain",
    },
  ]);
  assert.deepEqual(told(node, { ...node, sessionId: "other" }), []);
});

test("events of secrets and configs never have what is in them", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 6 }), fc.string(), (text, label) => {
      const data = Buffer.from(`<<${text}>>`);
      const spec = (value: string) => ({ annotations: { name: "n", labels: { value } }, data });
      const secret = (value: string) => create(SecretSchema, { id: "s", spec: spec(value) });
      const config = (value: string) => create(ConfigSchema, { id: "c", spec: spec(value) });
      const events = [
        ...eventsOf({ after: { case: "secret", value: secret("") } }),
        ...eventsOf({
          before: { case: "secret", value: secret("") },
          after: { case: "secret", value: secret(label) },
        }),
        ...eventsOf({ before: { case: "config", value: config(label) } }),
      ];
      assert.ok(events.length >= 2);
      assert.ok(!JSON.stringify(events).includes(JSON.stringify(`<<${text}>>`).slice(1, -1)));
    }),
  );
});

type Answer = MessageInitShape<typeof WatchResponseSchema>;

const action = (kind: StoreActionKind, object: WatchedObject) => ({
  action: { kind, object: { object } },
});

describe("swarmctl events", () => {
  const service = web();
  const task = aTask(service, { slot: 1n, state: TaskState.RUNNING });
  const answers: Answer[] = [
    {
      events: [
        action(StoreActionKind.CREATE, wrap(aNode("h1"))),
        action(StoreActionKind.CREATE, wrap(service)),
      ],
      version: { index: 1n },
      rememberedSince: timestampFromMs(nowMs - 5_000),
    },
    {
      events: [
        action(StoreActionKind.CREATE, wrap(task)),
        action(StoreActionKind.REMOVE, wrap(service)),
      ],
      committedAt: timestampFromMs(nowMs),
    },
  ];

  async function run(flags: readonly string[], requests: WatchRequest[] = []) {
    const watch = async function* (request: WatchRequest) {
      requests.push(request);
      yield* answers;
      // One that is worth no other attempt is what ends this stream here.
      yield* await Promise.reject<Answer[]>(new Fault("internal", "the test is over"));
    };
    await using cluster = await FakeCluster.open({ control: { watch } });
    return await runCli(cluster, ["events", ...flags]);
  }

  it("says what happens in lines as Docker's, and nothing of what was there before", async () => {
    const { stdout } = await run([]);
    const time = "2026-01-02T03:04:05.000000000Z";
    assert.equal(
      stdout,
      `${time} task create ${task.id} (name=web.1, node=h1, nodeId=${idOf("h1")}, service=web)\n` +
        `${time} service remove ${service.id} (name=web)\n`,
    );
  });

  const filters: [string, string][] = [
    ["--filter type=service", "service remove"],
    ["--filter event=create", "task create"],
    ["--filter service=web", "task create;service remove"],
    ["--filter node=h1", "task create"],
    ["--filter type=task -f service=other", ""],
  ];
  for (const [flags, expected] of filters) {
    it(flags, async () => {
      const format = ["--format", "{{.Type}} {{.Action}}"];
      const { stdout } = await run([...flags.split(" "), ...format]);
      assert.equal(stdout.trim().split("\n").join(";"), expected);
    });
  }

  it("asks for no more kinds than it needs", async () => {
    const requests: WatchRequest[] = [];
    await run(["--filter", "type=task"], requests);
    assert.deepEqual(requests[0]?.kinds, ["node", "task"]);
    const { code, stderr } = await run(["--filter", "type=pod"]);
    assert.equal(code, 1);
    assert.match(stderr, /no events of type "pod"/);
  });

  it("says what a manager does not remember, and ends at --until", async () => {
    const since = new Date(nowMs - 60_000).toISOString();
    const until = new Date(nowMs - 1_000).toISOString();
    const requests: WatchRequest[] = [];
    const { code, stdout, stderr } = await run(["--since", since, "--until", until], requests);
    assert.deepEqual([code, stdout], [0, ""]);
    assert.match(stderr, /remembers what happened since 2026-01-02T03:04:00\.000Z, not before/);
    assert.equal(requests[0]?.since?.seconds, BigInt(nowMs - 60_000) / 1000n);
  });

  it("go on with another manager where one ends, from where they were", async () => {
    const requests: WatchRequest[] = [];
    const watch = async function* (request: WatchRequest) {
      requests.push(request);
      yield* answers;
      const code = requests.length === 1 ? "unavailable" : "internal";
      yield* await Promise.reject<Answer[]>(new Fault(code, "the manager ended"));
    };
    await using cluster = await FakeCluster.open({ control: { watch } });
    const { stdout, stderr } = await runCli(cluster, ["events", "--filter", "type=service"]);
    assert.equal(stdout.trim().split("\n").length, 2);
    assert.match(stderr, /^swarmctl: the manager ended: going on with the next manager/);
    assert.equal(requests[0]?.since, undefined);
    assert.equal(requests[1]?.since?.seconds, BigInt(nowMs) / 1000n);
  });

  it("prints JSON as Docker's", async () => {
    const { stdout } = await run(["--format", "json", "--filter", "type=service"]);
    assert.deepEqual(JSON.parse(stdout), {
      Type: "service",
      Action: "remove",
      Actor: { ID: service.id, Attributes: { name: "web" } },
      scope: "swarm",
      time: nowMs / 1000,
      timeNano: nowMs * 1e6,
    });
  });
});
