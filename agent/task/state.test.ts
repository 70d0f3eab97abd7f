import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { RestartCondition, RestartPolicySchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { parseState } from "./parse-state.ts";
import {
  type Effect,
  type Event,
  exitReason,
  initialState,
  type Phase,
  shownState,
  type State,
  step,
} from "./state.ts";
import { statusOf } from "./status.ts";

const once = create(RestartPolicySchema, { condition: RestartCondition.NONE });
const always = create(RestartPolicySchema, {
  condition: RestartCondition.ANY,
  delay: durationFromMs(1_000),
});
const nowMs = 1_000_000;
const exit = { exitCode: 1, oomKilled: false };

const phases: Readonly<Record<Phase["kind"], Phase>> = {
  accepted: { kind: "accepted" },
  preparing: { kind: "preparing" },
  ready: { kind: "ready" },
  starting: { kind: "starting", sinceMs: nowMs },
  running: { kind: "running", sinceMs: nowMs, pid: 7 },
  stopping: { kind: "stopping", sinceMs: nowMs, pid: 7 },
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
  "prepare-failed": { kind: "prepare-failed", reason: "no such image" },
  started: { kind: "started", pid: 7 },
  exited: { kind: "exited", exit },
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
  "running running exited": ["waiting", "release"],
  "running running stop": ["stopping", "stop"],
  "running running recovered-exited": ["waiting", "release"],
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
  return { ...initialState(desired, nowMs), phase: phases[kind], attempt: started ? 1 : 0 };
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
      const result = step(stateIn(kind, desired), wanted, { nowMs, policy: always });
      assert.equal(result.state.phase.kind, next);
      assert.deepEqual(result.effects.map(nameOf), effects);
    });
  }

  it("nothing else leaves its phase or does anything", () => {
    for (const kind of Object.keys(phases) as Phase["kind"][]) {
      for (const [name, event] of Object.entries(events)) {
        const desired = kind === "stopping" ? "stopped" : kind === "ready" ? "ready" : "running";
        // Recovering says whether there was a container wherever there can have been one.
        const mayRun = ["starting", "running", "stopping"].includes(kind);
        if (`${kind} ${desired} ${name}` in edges) continue;
        if (event.kind === "recovered" && (event.found !== undefined) !== mayRun) continue;
        const result = step(stateIn(kind, desired), event, { nowMs, policy: always });
        assert.equal(result.state.phase.kind, kind, `${kind} ${name}`);
        assert.deepEqual(result.effects, [], `${kind} ${name}`);
      }
    }
  });
});

test("step, an attempt that ended: kept with its reason, shown as READY of the next", () => {
  const context = { nowMs: nowMs + 50, policy: always };
  const { state } = step(stateIn("running", "running"), { kind: "exited", exit }, context);
  const status = statusOf("task", state);
  assert.deepEqual([status.attempt, status.state, status.err], [2, TaskState.READY, "exit code 1"]);
  assert.equal(status.message, "restarting in 1 s");
  assert.equal(status.attempts[0]?.reason, "exit code 1");
  assert.equal(status.container?.exitCode, 1);
});

test("status, what runc or a registry said at length is shortened", () => {
  const err = "x".repeat(1024 * 1024);
  const status = statusOf("task", { ...stateIn("running", "running"), err });
  assert.equal(status.err, `${"x".repeat(2_000)}…`);
});

test("step, the restart's time has come: the next attempt starts", () => {
  const phase = { kind: "waiting", untilMs: nowMs, released: false } as const;
  const state = { ...stateIn("waiting", "running"), phase, attempt: 2 };
  const result = step(state, { kind: "released" }, { nowMs, policy: always });
  assert.deepEqual(result.effects, [{ kind: "start", attempt: 2 }]);
});

test("step, a release that failed: in the message until it succeeds, beside the attempt's error", () => {
  const failed: Event = { kind: "exited", exit };
  const ending = step(stateIn("running", "running"), failed, { nowMs, policy: once }).state;
  const { state, effects } = step(
    ending,
    { kind: "release-failed", reason: "device busy" },
    { nowMs, policy: once },
  );
  assert.deepEqual(effects, []);
  assert.deepEqual(state, { ...ending, message: "trying again: device busy" });
  const { state: ended } = step(state, { kind: "released" }, { nowMs, policy: once });
  assert.deepEqual([ended.message, ended.err], ["failed", "exit code 1"]);
});

test("step, no restart wanted: complete after 0, failed after anything else", () => {
  for (const [exitCode, outcome] of [
    [0, TaskState.COMPLETE],
    [1, TaskState.FAILED],
  ] as const) {
    const ended: Event = { kind: "exited", exit: { exitCode, oomKilled: false } };
    const { state } = step(stateIn("running", "running"), ended, { nowMs, policy: once });
    const last = step(state, { kind: "released" }, { nowMs, policy: once });
    assert.equal(shownState(last.state), outcome);
  }
});

test("exitReason, signals and codes: in words", () => {
  const said = (exitCode: number) => exitReason({ exitCode, oomKilled: false });
  assert.deepEqual([0, 3, 137, 143, 150].map(said), [
    "exit code 0",
    "exit code 3",
    "killed by SIGKILL (9)",
    "killed by SIGTERM (15)",
    "exit code 150",
  ]);
  assert.equal(
    exitReason({ exitCode: 137, oomKilled: true }),
    "killed by the kernel: out of memory",
  );
});

const anyEvent = fc.constantFrom(...Object.values(events));

test("step, any events: (attempt, state) only grows, the end is the end, all of it survives the disk", () => {
  const run = fc.array(fc.tuple(anyEvent, fc.nat(20_000)), { maxLength: 60 });
  fc.assert(
    fc.property(run, fc.constantFrom(once, always), fc.boolean(), (history, policy, waits) => {
      let state = initialState(waits ? "ready" : "running", nowMs);
      let clockMs = nowMs;
      for (const [event, passedMs] of history) {
        clockMs += passedMs;
        const next = step(state, event, { nowMs: clockMs, policy });
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
