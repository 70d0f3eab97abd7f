import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { type HealthCheck, type ImageHealthcheck, planHealthCheck } from "./health-check.ts";
import {
  type Health,
  initialHealth,
  nextProbeMs,
  type Probe,
  stepHealth,
  unhealthyReason,
} from "./health.ts";

const defaults = {
  intervalMs: 30_000,
  timeoutMs: 30_000,
  retries: 3,
  startPeriodMs: 0,
  startIntervalMs: 5_000,
};
const check: HealthCheck = { command: ["true"], ...defaults };

const image: ImageHealthcheck = {
  test: ["CMD-SHELL", "nc -z localhost 80"],
  intervalMs: 7_000,
  timeoutMs: 0,
  retries: 5,
  startPeriodMs: 0,
  startIntervalMs: 0,
};

test("planHealthCheck, the service alone: Docker's defaults for what it leaves out", () => {
  const wanted = create(HealthConfigSchema, { test: ["CMD", "ping"], retries: 2 });
  assert.deepEqual(planHealthCheck(wanted, {}), { command: ["ping"], ...defaults, retries: 2 });
});

test("planHealthCheck, service and image: the service's fields win one by one", () => {
  const wanted = create(HealthConfigSchema, { interval: durationFromMs(1_500) });
  assert.deepEqual(planHealthCheck(wanted, { healthcheck: image, shell: ["/bin/ash", "-ec"] }), {
    ...defaults,
    command: ["/bin/ash", "-ec", "nc -z localhost 80"],
    intervalMs: 1_500,
    retries: 5,
  });
  assert.deepEqual(planHealthCheck(undefined, { healthcheck: image })?.command, [
    "/bin/sh",
    "-c",
    "nc -z localhost 80",
  ]);
});

test("planHealthCheck, none: nobody has one, the service turns it off, the image's kind is unknown", () => {
  const none = create(HealthConfigSchema, { test: ["NONE"] });
  assert.equal(planHealthCheck(undefined, {}), undefined);
  assert.equal(planHealthCheck(none, { healthcheck: image }), undefined);
  assert.equal(
    planHealthCheck(undefined, { healthcheck: { ...image, test: ["HTTP", "/"] } }),
    undefined,
  );
});

function probe(exitCode: number, atMs: number): Probe {
  return { startedAtMs: atMs, endedAtMs: atMs + 10, exitCode, output: `said ${exitCode}` };
}

function after(probes: readonly Probe[], asked: HealthCheck = check): Health {
  return probes.reduce(
    (health, one) => stepHealth(health, { kind: "probed", probe: one }, asked),
    initialHealth(0),
  );
}

test("stepHealth, failures in a row: unhealthy with the last of them, a success begins anew", () => {
  assert.equal(after([probe(1, 1), probe(1, 2)]).status, "starting");
  assert.equal(after([probe(1, 1), probe(1, 2), probe(1, 3)]).status, "unhealthy");
  const mixed = [probe(0, 1), probe(1, 2), probe(1, 3), probe(0, 4), probe(1, 5), probe(1, 6)];
  assert.equal(after(mixed).status, "healthy");
  assert.equal(after([...mixed, probe(2, 7)]).status, "unhealthy");
  assert.equal(unhealthyReason(after([...mixed, probe(2, 7)])), "unhealthy: said 2");
});

test("stepHealth, the start period: failures do not count, a success does, and ends it", () => {
  const slow = { ...check, startPeriodMs: 1_000, retries: 1 };
  assert.equal(after([probe(1, 10), probe(1, 999)], slow).status, "starting");
  assert.equal(after([probe(1, 10), probe(1, 1_000)], slow).status, "unhealthy");
  assert.equal(after([probe(0, 10)], slow).status, "healthy");
  assert.equal(after([probe(0, 10), probe(1, 20)], slow).status, "unhealthy");
});

test("stepHealth, a check that the host could not run: says nothing of the container", () => {
  const health = after([probe(0, 1), probe(1, 2)]);
  const next = stepHealth(health, { kind: "not-probed", atMs: 90 }, check);
  assert.deepEqual(next, { ...health, lastAtMs: 90 });
});

test("nextProbeMs: from the last probe's end, faster within the start period until it is healthy", () => {
  const slow = { ...check, startPeriodMs: 60_000 };
  assert.equal(nextProbeMs(initialHealth(0), check, 0), 30_000);
  assert.equal(nextProbeMs(initialHealth(0), slow, 0), 5_000);
  assert.equal(nextProbeMs(after([probe(1, 5_000)], slow), slow, 5_010), 5_000);
  assert.equal(nextProbeMs(after([probe(0, 5_000)], slow), slow, 5_010), 30_000);
  assert.equal(nextProbeMs(after([probe(1, 58_000)], slow), slow, 61_000), 27_010);
});

test("nextProbeMs, after a time away or a clock that was put back: at once, and never later than the interval", () => {
  assert.equal(nextProbeMs(after([probe(0, 5_000)]), check, 900_000), 0);
  assert.equal(nextProbeMs(after([probe(0, 900_000)]), check, 5_000), 30_000);
});

test("stepHealth, a clock that is put back by hours does not make the start period longer", () => {
  const slow = { ...check, startPeriodMs: 60_000 };
  const hoursMs = 5 * 3_600_000;
  const started = initialHealth(hoursMs);
  const at = (...startsMs: readonly number[]) =>
    startsMs.reduce(
      (health, ms) => stepHealth(health, { kind: "probed", probe: probe(1, ms) }, slow),
      started,
    );
  assert.equal(at(hoursMs + 30_000, 0).failures, 0);
  // Half a minute of it was over, and the rest is over now.
  assert.equal(at(hoursMs + 30_000, 0, 31_000, 61_000, 91_000).status, "unhealthy");
});

test("stepHealth, any probes: the last five kept, unhealthy exactly after so many failures in a row", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(2), { maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      (codes, retries) => {
        let health = initialHealth(0);
        let streak = 0;
        for (const [index, code] of codes.entries()) {
          health = stepHealth(
            health,
            { kind: "probed", probe: probe(code, index + 1) },
            { ...check, retries },
          );
          streak = code === 0 ? 0 : streak + 1;
          assert.equal(health.status === "unhealthy", streak >= retries);
          assert.ok(health.probes.length <= 5);
          assert.equal(health.probes.at(-1)?.exitCode, code);
        }
      },
    ),
  );
});
