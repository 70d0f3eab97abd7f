import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  ControlService,
  UpdateServiceRequest,
  WatchResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { type Service, StoreActionKind, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  RestartCondition,
  RestartPolicySchema,
  TaskState,
  UpdateState,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { systemClock } from "#proto/system-ports.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aService, aServiceSpec, aTask } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

type Event = MessageInitShape<typeof WatchResponseSchema>;
type Watch = Handlers<typeof ControlService>["watch"];

const web = aService(aServiceSpec("web", 2n));

function told(value: Service | Task, kind: StoreActionKind = StoreActionKind.UPDATE): Event {
  const object =
    value.$typeName === "swarm.v1.Task"
      ? ({ case: "task", value } as const)
      : ({ case: "service", value } as const);
  return { events: [{ action: { kind, object: { object } } }] };
}

function node(hostname: string): Event {
  const object = { case: "node", value: aNode(hostname) } as const;
  return { events: [{ action: { kind: StoreActionKind.CREATE, object: { object } } }] };
}

function task(
  slot: bigint,
  state: TaskState,
  more: { err?: string; attempt?: number } = {},
): Event {
  return told(aTask(web, { slot, state, ...more }));
}

function cluster(watch: Watch): Promise<FakeCluster> {
  return FakeCluster.open({ control: { createService: async () => ({ service: web }), watch } });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

/** Time passes at once wherever it is waited for. */
const hasty: Clock = { ...systemClock, timer: (_, callback) => systemClock.timer(1, callback) };
const argv = ["service", "create", "--name", "web", "--timeout", "0", "busybox"];

describe("service create without -d", () => {
  it("waits until all tasks run", async () => {
    await using host = await cluster(async function* (_, { signal }) {
      yield node("h1");
      yield told(web);
      yield task(1n, TaskState.PREPARING);
      yield task(1n, TaskState.RUNNING);
      yield task(2n, TaskState.RUNNING);
      await aborted(signal);
    });
    const { code, stdout, stderr } = await runCli(host, argv, { clock: hasty });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(
      stdout,
      [
        web.id,
        "overall progress: 0 out of 2 tasks",
        "overall progress: 1 out of 2 tasks",
        "overall progress: 2 out of 2 tasks",
        "",
      ].join("\n"),
    );
  });

  it("redraws its lines on a terminal", async () => {
    await using host = await cluster(async function* (_, { signal }) {
      yield node("h1");
      yield told(web);
      yield task(1n, TaskState.RUNNING);
      yield task(2n, TaskState.RUNNING);
      await aborted(signal);
    });
    const { stdout } = await runCli(host, argv, { clock: hasty, isTTY: true });
    assert.ok(
      stdout.endsWith(
        "\x1b[2A\r\x1b[Koverall progress: 2 out of 2 tasks\n\x1b[Kweb.1: \x1b[32mrunning\x1b[0m   [=======] on h1\n\x1b[Kweb.2: \x1b[32mrunning\x1b[0m   [=======] on h1\n\x1b[J",
      ),
      JSON.stringify(stdout),
    );
  });

  it("watches again when the manager goes away", async () => {
    let watches = 0;
    await using host = await cluster(async function* (_, { signal }) {
      watches += 1;
      yield told(web);
      yield task(1n, TaskState.RUNNING);
      if (watches === 1) return;
      yield task(2n, TaskState.RUNNING);
      await aborted(signal);
    });
    const { code } = await runCli(host, argv, { clock: hasty });
    assert.equal(code, 0);
    assert.equal(watches, 2);
  });

  it("starts its count of stable moments anew when a task restarts", async () => {
    const timers: string[] = [];
    const counting: Clock = {
      ...systemClock,
      timer(ms, callback) {
        timers.push(`${ms}`);
        return timers.length < 2
          ? systemClock.timer(60_000, callback)
          : systemClock.timer(1, callback);
      },
    };
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      yield task(1n, TaskState.RUNNING);
      yield task(2n, TaskState.RUNNING, { attempt: 1 });
      yield task(2n, TaskState.RUNNING, { attempt: 2 });
      await aborted(signal);
    });
    assert.equal((await runCli(host, argv, { clock: counting })).code, 0);
    assert.deepEqual(timers, ["1000", "1000"]);
  });

  it("says after its time what is in the way", async () => {
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      yield task(1n, TaskState.RUNNING);
      yield task(2n, TaskState.PREPARING, { err: "no such image" });
      await aborted(signal);
    });
    const late = argv.with(argv.indexOf("0"), "300ms");
    const { code, stdout, stderr } = await runCli(host, late);
    assert.equal(code, 1);
    assert.match(stdout, /^web\.2: no such image$/m);
    assert.equal(
      stderr,
      'swarmctl: Service "web" has not converged: after 0.3 s 1 of 2 tasks run (web.2: no such image); the cluster goes on trying\n',
    );
  });

  it("says what the last task of a slot failed with, while the next is yet to be made", async () => {
    const desired = TaskState.SHUTDOWN;
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      yield task(1n, TaskState.RUNNING);
      const err = "no such image";
      yield told(aTask(web, { slot: 2n, state: TaskState.REJECTED, desired, err }));
      await aborted(signal);
    });
    const late = argv.with(argv.indexOf("0"), "300ms");
    const { stderr } = await runCli(host, late);
    assert.match(stderr, /after 0\.3 s 1 of 2 tasks run \(web\.2: no such image\); the cluster/);
  });

  it("says which service a task waits for", async () => {
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      const held = aTask(web, { slot: 1n, state: TaskState.READY, desired: TaskState.READY });
      if (held.status !== undefined) held.status.message = "waiting for db to complete";
      yield told(held);
      await aborted(signal);
    });
    const { stdout } = await runCli(host, argv.with(argv.indexOf("0"), "300ms"));
    assert.match(stdout, /^web\.1: waiting for db to complete$/m);
  });

  it("gives up at once on a task that nobody restarts", async () => {
    const spec = aServiceSpec("web", 2n);
    if (spec.task !== undefined) {
      spec.task.restart = create(RestartPolicySchema, { condition: RestartCondition.NONE });
    }
    await using host = await cluster(async function* (_, { signal }) {
      yield told(aService(spec));
      yield told(aTask(aService(spec), { slot: 1n, state: TaskState.FAILED, err: "exit code 3" }));
      await aborted(signal);
    });
    const { code, stderr } = await runCli(host, argv);
    assert.equal(code, 1);
    assert.match(stderr, /has not converged: web\.1 is not restarted: exit code 3/);
  });

  it("notices that the service was removed", async () => {
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      yield told(web, StoreActionKind.REMOVE);
      await aborted(signal);
    });
    const { stderr } = await runCli(host, argv);
    assert.match(stderr, /has not converged: it was removed meanwhile/);
  });

  it("leaves the cluster at work when interrupted", async () => {
    const interrupt = new AbortController();
    await using host = await cluster(async function* (_, { signal }) {
      yield told(web);
      interrupt.abort();
      await aborted(signal);
    });
    const outcome = await runCli(host, argv, { signal: interrupt.signal });
    assert.equal(outcome.code, 130);
    assert.equal(
      outcome.stderr,
      'Operation continuing in background: see "swarmctl service ps web"\n',
    );
  });
});

describe("service update", () => {
  const statuses = {
    "exits with 0 when it is completed": {
      updates: [
        [UpdateState.UPDATING, "update in progress"],
        [UpdateState.COMPLETED, "update completed"],
      ],
      outcome: [0, ""],
    },
    "exits with 1 and the managers' reason when it is paused": {
      updates: [
        [UpdateState.PAUSED, "update paused due to failure or early termination of task t1"],
      ],
      outcome: [1, "update paused due to failure or early termination of task t1"],
    },
    "exits with 1 and the managers' reason when it is rolled back, although all tasks run": {
      updates: [
        [
          UpdateState.ROLLBACK_STARTED,
          "update rolled back due to failure or early termination of task t1",
        ],
        [UpdateState.ROLLBACK_COMPLETED, "rollback completed"],
      ],
      outcome: [1, "update rolled back due to failure or early termination of task t1"],
    },
  } as const;
  for (const [what, { updates, outcome }] of Object.entries(statuses)) {
    it(what, async () => {
      const control = {
        getService: async () => ({ service: web }),
        updateService: async () => ({ service: web }),
        watch: updating(updates),
      };
      await using host = await FakeCluster.open({ control });
      const { code, stderr } = await runCli(
        host,
        ["service", "update", "--timeout", "0", "--force", "web"],
        {
          clock: hasty,
        },
      );
      const [codeWanted, reason] = outcome;
      const words = reason === "" ? "" : `swarmctl: Service "web" has not converged: ${reason}\n`;
      assert.deepEqual([code, stderr], [codeWanted, words]);
    });
  }

  it("rolls back by either command, for which that is a success", async () => {
    const requests: UpdateServiceRequest[] = [];
    const status = (state: UpdateState) => create(UpdateStatusSchema, { state });
    const control: Partial<Handlers<typeof ControlService>> = {
      getService: async () => ({ service: web }),
      updateService: async (request) => {
        requests.push(request);
        return { service: { ...web, updateStatus: status(UpdateState.ROLLBACK_STARTED) } };
      },
      watch: updating([[UpdateState.ROLLBACK_COMPLETED, "rollback completed"]]),
    };
    await using host = await FakeCluster.open({ control });
    for (const argv of [["rollback"], ["update", "--rollback"]]) {
      const { code, stderr } = await runCli(host, ["service", ...argv, "--timeout", "0", "web"], {
        clock: hasty,
      });
      assert.deepEqual([code, stderr], [0, ""]);
    }
    assert.deepEqual(
      requests.map(({ rollback, spec }) => [rollback, spec]),
      [
        [true, undefined],
        [true, undefined],
      ],
    );
    const mixed = await runCli(host, ["service", "update", "--rollback", "--force", "web"]);
    assert.notEqual(mixed.code, 0);
    assert.match(mixed.stderr, /'--rollback' takes no '--force' beside it/);
  });
});

/** All tasks run while the service's update gets from one state to the next. */
function updating(updates: readonly (readonly [UpdateState, string])[]): Watch {
  return async function* (_, { signal }) {
    for (const [state, message] of updates) {
      yield told({ ...web, updateStatus: create(UpdateStatusSchema, { state, message }) });
      yield task(1n, TaskState.RUNNING);
      yield task(2n, TaskState.RUNNING);
    }
    await aborted(signal);
  };
}
