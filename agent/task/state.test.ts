import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  Health,
  RestartCondition,
  RestartPolicySchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import type { HealthCheck } from "../health/health-check.ts";
import { initialHealth } from "../health/health.ts";
import { exitReason } from "./exit-reason.ts";
import { parseState } from "./parse-state.ts";
import {
  type Effect,
  type Event,
  initialState,
  type Phase,
  shownState,
  type State,
  step,
  type StepContext,
} from "./state.ts";
import { statusOf } from "./status.ts";

const once = create(RestartPolicySchema, { condition: RestartCondition.NONE });
const always = create(RestartPolicySchema, {
  condition: RestartCondition.ANY,
  delay: durationFromMs(1_000),
});
const nowMs = 1_000_000;
const exit = { exitCode: 1, oomKilled: false };
const named: StepContext = { nowMs, policy: always, drainMs: 200, memoryLimitBytes: 0 };
const nameless: StepContext = { ...named, drainMs: 0 };
const live = { sinceMs: nowMs, upSinceMs: nowMs, pid: 7, fault: "" };

/** Unhealthy at once. */
const check: HealthCheck = {
  command: ["true"],
  intervalMs: 30_000,
  timeoutMs: 30_000,
  retries: 1,
  startPeriodMs: 0,
  startIntervalMs: 5_000,
};

function probe(exitCode: number): Event {
  const times = { startedAtMs: nowMs, endedAtMs: nowMs + 5 };
  return { kind: "probed", probe: { ...times, exitCode, output: "no answer" } };
}

const phases: Readonly<Record<Phase["kind"], Phase>> = {
  accepted: { kind: "accepted" },
  preparing: { kind: "preparing" },
  ready: { kind: "ready" },
  starting: { kind: "starting", sinceMs: nowMs },
  checking: { kind: "checking", ...live, upSinceMs: 0 },
  running: { kind: "running", ...live },
  draining: { kind: "draining", ...live },
  stopping: { kind: "stopping", ...live },
  waiting: { kind: "waiting", untilMs: nowMs + 1_000, released: false },
  ending: { kind: "ending", outcome: "failed", shown: TaskState.RUNNING },
  ended: { kind: "ended", outcome: "failed" },
};

const events: Readonly<Record<string, Event>> = {
  begun: { kind: "begun" },
  run: { kind: "desired", desired: "running" },
  stop: { kind: "desired", desired: "stopped" },
  progress: { kind: "progress", message: "pulling image" },
  prepared: { kind: "prepared" },
  "prepared-checked": { kind: "prepared", check },
  "prepare-failed": { kind: "prepare-failed", reason: "no such image" },
  started: { kind: "started", pid: 7 },
  exited: { kind: "exited", exit },
  "probed-good": probe(0),
  "probed-bad": probe(1),
  "not-probed": { kind: "not-probed", atMs: nowMs },
  drained: { kind: "drained" },
  "grace-over": { kind: "grace-over" },
  released: { kind: "released" },
  "release-failed": { kind: "release-failed", reason: "device busy" },
  due: { kind: "due" },
  recovered: { kind: "recovered" },
  "recovered-running": { kind: "recovered", found: { kind: "running", pid: 7 } },
  "recovered-exited": { kind: "recovered", found: { kind: "exited", exit } },
};

/** All edges that do something: phase, what is desired, event → next phase, effects. What is not here changes nothing. */
const edges: Readonly<Record<string, readonly [Phase["kind"], ...string[]]>> = {
  "accepted running begun": ["preparing", "prepare"],
  "accepted running stop": ["ending", "release final"],
  "accepted running recovered": ["preparing", "prepare"],
  "preparing running prepared": ["starting", "start"],
  "preparing running prepared-checked": ["starting", "start"],
  "preparing ready prepared": ["ready"],
  "preparing running prepare-failed": ["ending", "release final"],
  "preparing running stop": ["ending", "release final"],
  "preparing running recovered": ["preparing", "prepare"],
  "ready ready run": ["starting", "start"],
  "ready ready stop": ["ending", "release final"],
  "starting running started": ["running"],
  "starting stopped started": ["stopping", "stop"],
  "starting running exited": ["waiting", "release"],
  "starting stopped exited": ["ending", "release final"],
  "starting running recovered-running": ["running"],
  "starting running recovered-exited": ["waiting", "release"],
  "checking running probed-good": ["running", "probe"],
  "checking running probed-bad": ["stopping", "stop"],
  "checking running not-probed": ["checking", "probe"],
  "checking running stop": ["stopping", "stop"],
  "checking running exited": ["waiting", "release"],
  "checking running recovered-running": ["checking", "probe"],
  "checking running recovered-exited": ["waiting", "release"],
  "running running exited": ["waiting", "release"],
  "running running stop": ["draining", "drain"],
  "running running probed-good": ["running", "probe"],
  "running running probed-bad": ["draining", "drain"],
  "running running not-probed": ["running", "probe"],
  "running running recovered-running": ["running", "probe"],
  "running running recovered-exited": ["waiting", "release"],
  "draining stopped drained": ["stopping", "stop"],
  "draining stopped exited": ["ending", "release final"],
  "draining running drained": ["stopping", "stop"],
  "draining running exited": ["waiting", "release"],
  "draining stopped recovered-running": ["draining", "drain"],
  "draining stopped recovered-exited": ["ending", "release final"],
  "stopping running exited": ["waiting", "release"],
  "stopping stopped exited": ["ending", "release final"],
  "stopping stopped grace-over": ["stopping", "kill"],
  "stopping stopped recovered-running": ["stopping", "stop"],
  "stopping stopped recovered-exited": ["ending", "release final"],
  "waiting running released": ["waiting", "wait"],
  "waiting running stop": ["ending", "release final"],
  "waiting running recovered": ["waiting", "release"],
  "ending running released": ["ended"],
  "ending stopped released": ["ended"],
  "ending running recovered": ["ending", "release final"],
};

function stateIn(kind: Phase["kind"], desired: State["desired"]): State {
  const started = !["accepted", "preparing", "ready"].includes(kind);
  const checked = kind === "checking" || kind === "running";
  return {
    ...initialState(desired, nowMs),
    phase: phases[kind],
    attempt: started ? 1 : 0,
    ...(checked && { check, health: initialHealth(nowMs) }),
  };
}

function nameOf(effect: Effect): string {
  return effect.kind === "release" && effect.final ? "release final" : effect.kind;
}

describe("step, edges", () => {
  for (const [edge, [next, ...effects]] of Object.entries(edges)) {
    it(`${edge} → ${next} ${effects.join(", ")}`, () => {
      const [kind, desired, event] = edge.split(" ") as [Phase["kind"], State["desired"], string];
      const wanted = events[event];
      assert.ok(wanted !== undefined);
      const result = step(stateIn(kind, desired), wanted, named);
      assert.equal(result.state.phase.kind, next);
      assert.deepEqual(result.effects.map(nameOf), effects);
    });
  }

  it("nothing else leaves its phase or does anything", () => {
    for (const kind of Object.keys(phases) as Phase["kind"][]) {
      for (const [name, event] of Object.entries(events)) {
        const stops = kind === "stopping" || kind === "draining";
        const desired = stops ? "stopped" : kind === "ready" ? "ready" : "running";
        // Recovering says whether there was a container wherever there can have been one.
        const mayRun = ["starting", "checking", "running", "draining", "stopping"].includes(kind);
        if (`${kind} ${desired} ${name}` in edges) continue;
        if (event.kind === "recovered" && (event.found !== undefined) !== mayRun) continue;
        const result = step(stateIn(kind, desired), event, named);
        assert.equal(result.state.phase.kind, kind, `${kind} ${name}`);
        assert.deepEqual(result.effects, [], `${kind} ${name}`);
      }
    }
  });
});

test("step, an attempt that ended: kept with its reason, shown as READY of the next", () => {
  const context = { ...named, nowMs: nowMs + 50 };
  const { state } = step(stateIn("running", "running"), { kind: "exited", exit }, context);
  const status = statusOf("task", state);
  assert.deepEqual([status.attempt, status.state, status.err], [2, TaskState.READY, "exit code 1"]);
  assert.equal(status.message, "restarting in 1 s");
  assert.equal(status.attempts[0]?.reason, "exit code 1");
  assert.equal(status.container?.exitCode, 1);
});

test("status, an attempt that ended says when it came up, if it ever did", () => {
  const upAtOf = (phase: Phase["kind"]) => {
    const { state } = step(stateIn(phase, "running"), { kind: "exited", exit }, named);
    return statusOf("task", state).attempts[0]?.upAt;
  };
  assert.deepEqual(upAtOf("running"), timestampFromMs(nowMs));
  assert.equal(upAtOf("checking"), undefined);
  assert.equal(upAtOf("starting"), undefined);
});

test("status, what runc or a registry said at length is shortened", () => {
  const err = "x".repeat(1024 * 1024);
  const status = statusOf("task", { ...stateIn("running", "running"), err });
  assert.equal(status.err, `${"x".repeat(2_000)}…`);
});

test("step, the restart's time has come: the next attempt starts", () => {
  const phase = { kind: "waiting", untilMs: nowMs, released: false } as const;
  const state = { ...stateIn("waiting", "running"), phase, attempt: 2 };
  const result = step(state, { kind: "released" }, named);
  assert.deepEqual(result.effects, [{ kind: "start", attempt: 2 }]);
});

test("step, a clock that was put back by a day: the restart is a minute away at most", () => {
  const phase = { kind: "waiting", untilMs: nowMs + 86_400_000, released: false } as const;
  const state = { ...stateIn("waiting", "running"), phase, attempt: 2 };
  const { effects } = step(state, { kind: "released" }, named);
  assert.deepEqual(effects, [{ kind: "wait", untilMs: nowMs + 60_000 }]);
});

test("step, a release that failed: in the message until it succeeds, beside the attempt's error", () => {
  const failed: Event = { kind: "exited", exit };
  const ending = step(stateIn("running", "running"), failed, { ...named, policy: once }).state;
  const { state, effects } = step(
    ending,
    { kind: "release-failed", reason: "device busy" },
    { ...named, policy: once },
  );
  assert.deepEqual(effects, []);
  assert.deepEqual(state, { ...ending, message: "trying again: device busy" });
  const { state: ended } = step(state, { kind: "released" }, { ...named, policy: once });
  assert.deepEqual([ended.message, ended.err], ["failed", "exit code 1"]);
});

test("step, no restart wanted: complete after 0, failed after anything else", () => {
  for (const [exitCode, outcome] of [
    [0, TaskState.COMPLETE],
    [1, TaskState.FAILED],
  ] as const) {
    const ended: Event = { kind: "exited", exit: { exitCode, oomKilled: false } };
    const { state } = step(stateIn("running", "running"), ended, { ...named, policy: once });
    const last = step(state, { kind: "released" }, { ...named, policy: once });
    assert.equal(shownState(last.state), outcome);
  }
});

test("step, a container that is not up before its check succeeds, and leaves DNS before it is stopped as unhealthy", () => {
  const twice = { ...check, retries: 2 };
  const starting = { ...stateIn("starting", "running"), check: twice };
  const started = step(starting, { kind: "started", pid: 7 }, named);
  assert.equal(started.state.phase.kind, "checking");
  assert.deepEqual(started.effects, [{ kind: "probe", inMs: 30_000 }]);
  assert.equal(shownState(started.state), TaskState.STARTING);
  const up = step(started.state, probe(0), named).state;
  assert.equal(shownState(up), TaskState.RUNNING);
  assert.equal(statusOf("task", up).container?.health, Health.HEALTHY);
  const once = step(up, probe(1), named).state;
  assert.equal(once.phase.kind, "running");
  const { state, effects } = step(once, probe(1), named);
  assert.deepEqual(effects, [{ kind: "drain", ms: 200 }]);
  const status = statusOf("task", state);
  assert.equal(status.container?.health, Health.UNHEALTHY);
  assert.equal(status.err, "unhealthy: no answer");
  const stopping = step(state, { kind: "drained" }, named).state;
  const polite: Event = { kind: "exited", exit: { exitCode: 0, oomKilled: false } };
  const onFailure = create(RestartPolicySchema, { condition: RestartCondition.ON_FAILURE });
  const ended = step(stopping, polite, { ...named, policy: onFailure }).state;
  assert.equal(ended.phase.kind, "waiting");
  assert.equal(ended.attempts[0]?.reason, "unhealthy: no answer");
});

test("step, never healthy: shown as STARTING until it is stopped, however long that takes a quick failure", () => {
  const checking = stateIn("checking", "running");
  const { state, effects } = step(checking, probe(1), named);
  assert.deepEqual(effects, [{ kind: "stop", pid: 7 }]);
  assert.equal(shownState(state), TaskState.STARTING);
  const late = { ...named, nowMs: nowMs + 90_000 };
  const { restarts } = step(state, { kind: "exited", exit }, late).state;
  assert.equal(restarts.lastDelayMs, 1_000);
});

test("step, a task without a name on any network: is stopped at once", () => {
  const stopped = step(
    stateIn("running", "running"),
    { kind: "desired", desired: "stopped" },
    nameless,
  );
  assert.deepEqual(stopped.effects, [{ kind: "stop", pid: 7 }]);
});

test("exitReason, signals, codes and want of memory: in words", () => {
  const said = (exitCode: number) => exitReason({ exitCode, oomKilled: false }, 0);
  assert.deepEqual([0, 3, 137, 139, 143, 150].map(said), [
    "exit code 0",
    "exit code 3",
    "killed by SIGKILL (9)",
    "killed by SIGSEGV (11)",
    "killed by SIGTERM (15)",
    "exit code 150",
  ]);
  const starved = (exitCode: number, limit: number) =>
    exitReason({ exitCode, oomKilled: true }, limit);
  assert.equal(starved(137, 16 << 20), "out of memory: the container's limit is 16 MiB");
  assert.equal(starved(137, 1_610_612_736), "out of memory: the container's limit is 1.5 GiB");
  assert.equal(starved(137, 0), "out of memory: its host has no more");
  assert.equal(
    starved(1, 16 << 20),
    "exit code 1 after a process of it ran out of memory: the container's limit is 16 MiB",
  );
  assert.equal(starved(0, 16 << 20), "exit code 0");
});

const anyEvent = fc.constantFrom(...Object.values(events));

test("step, any events: (attempt, state) only grows, the end is the end, all of it survives the disk", () => {
  const run = fc.array(fc.tuple(anyEvent, fc.nat(20_000)), { maxLength: 60 });
  fc.assert(
    fc.property(run, fc.constantFrom(once, always), fc.boolean(), (history, policy, waits) => {
      const context = waits ? named : nameless;
      let state = initialState(waits ? "ready" : "running", nowMs);
      let clockMs = nowMs;
      for (const [event, passedMs] of history) {
        clockMs += passedMs;
        const next = step(state, event, { ...context, nowMs: clockMs, policy });
        const grown =
          next.state.attempt > state.attempt ||
          (next.state.attempt === state.attempt && shownState(next.state) >= shownState(state));
        assert.ok(grown, `${JSON.stringify(state)} ${event.kind} ${JSON.stringify(next.state)}`);
        if (state.phase.kind === "ended") assert.deepEqual(next, { state, effects: [] });
        assert.ok(next.effects.length <= 1 && next.state.attempts.length <= 5);
        assert.deepEqual(parseState(JSON.stringify(next.state)), next.state);
        state = next.state;
      }
    }),
  );
});

test("parseState, any bytes: a state or a data-loss Fault", () => {
  const whole = JSON.stringify(stateIn("running", "running"));
  const torn = fc.nat(whole.length - 1).map((length) => whole.slice(0, length));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), torn), (text) => {
      assert.throws(
        () => parseState(text),
        (error) => error instanceof Fault && error.code === "data-loss",
      );
    }),
  );
});
