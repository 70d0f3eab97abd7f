/** Whether the chaos test would notice: what the checks of a history find, and what they let pass. */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { violations, writableAfter } from "./history.ts";
import type { Operation, Outcome, Request } from "./operation.ts";

/** One operation after the other. */
function history(...steps: readonly (readonly [Request, Outcome])[]): Operation[] {
  return steps.map(([request, outcome], at) => ({
    client: "client-1",
    manager: "172.31.0.1:2377",
    register: "client-1-1",
    request,
    calledAt: 2 * at,
    returnedAt: 2 * at + 1,
    startedAtMs: 100 * at,
    endedAtMs: 100 * at + 30,
    outcome,
  }));
}

const read: Request = { kind: "read" };
const create: Request = { kind: "compare-and-set", expected: 0, value: 7 };
const remove: Request = { kind: "compare-and-set", expected: 7, value: 0 };
const saw = (seen: number): Outcome => ({ kind: "done", seen });
const unknown: Outcome = { kind: "unknown", why: "deadline-exceeded" };

function assertBroken(operations: readonly Operation[]): void {
  const [broken = "", ...more] = violations(operations, 1);
  assert.deepEqual(more, []);
  const path = broken.replace(/^client-1-1: /, "");
  const kept = readFileSync(path, "utf8").trimEnd().split("\n");
  rmSync(dirname(path), { recursive: true });
  assert.deepEqual(
    kept.map((line) => JSON.parse(line)),
    operations,
  );
}

test("chaos, what an order explains is no violation", () => {
  assert.deepEqual(
    violations(history([create, saw(0)], [read, saw(7)], [remove, saw(7)], [read, saw(0)]), 1),
    [],
  );
});

test("chaos, an acknowledged write that is lost is found, and its history is kept", () => {
  assertBroken(history([create, saw(0)], [read, saw(0)]));
});

test("chaos, a removed config that comes back is found", () => {
  assertBroken(history([create, saw(0)], [remove, saw(7)], [read, saw(7)]));
});

test("chaos, a read that is older than the one before is found", () => {
  assertBroken(history([create, unknown], [read, saw(7)], [read, saw(0)]));
});

test("chaos, a write that was refused and yet made is found", () => {
  assertBroken(history([create, { kind: "refused", why: "conflict" }], [read, saw(7)]));
});

test("chaos, a write of which nobody knows may be made, late or never", () => {
  for (const seen of [0, 7]) {
    assert.deepEqual(violations(history([create, unknown], [read, saw(seen)]), 1), []);
  }
  const late = history([create, unknown], [read, saw(0)], [read, saw(7)]);
  assert.deepEqual(violations(late, 1), []);
});

test("chaos, writable is the first write that succeeds of those that begin afterwards", () => {
  const steps = history([create, saw(0)], [read, saw(7)], [remove, unknown], [remove, saw(7)]);
  assert.equal(writableAfter(steps, -1), 31);
  assert.equal(writableAfter(steps, 0), 330);
});
