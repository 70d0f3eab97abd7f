import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Command } from "commander";
import { HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";

function parse(...args: string[]): HealthFlags {
  const command = new Command().exitOverride();
  addHealthFlags(command);
  return command.parse(args, { from: "user" }).opts();
}

test("health flags, none: the service has no check of its own", () => {
  assert.equal(healthFromFlags(parse()), undefined);
});

test("health flags, all of them", () => {
  const words =
    "--health-interval 1m30s --health-timeout 5s --health-retries 4 --health-start-period 10s --health-start-interval 500ms";
  const health = healthFromFlags(
    parse("--health-cmd", "curl -f localhost || exit 1", ...words.split(" ")),
  );
  assert.deepEqual(health?.test, ["CMD-SHELL", "curl -f localhost || exit 1"]);
  const { interval, timeout, startPeriod, startInterval } = health ?? {};
  const ms = [interval, timeout, startPeriod, startInterval].map((one) => msFromDuration(one, 0));
  assert.deepEqual(ms, [90_000, 5_000, 10_000, 500]);
  assert.equal(health?.retries, 4);
});

test("health flags, an update: changes what is named and keeps the rest", () => {
  const before = create(HealthConfigSchema, {
    test: ["CMD", "x"],
    interval: durationFromMs(9_000),
  });
  const changed = healthFromFlags(parse("--health-retries", "1"), before);
  assert.deepEqual(changed, { ...before, retries: 1 });
  assert.deepEqual(healthFromFlags(parse("--health-cmd", ""), before)?.test, []);
});

test("health flags, off: and on again by naming one", () => {
  const off = healthFromFlags(parse("--no-healthcheck"));
  assert.deepEqual(off?.test, ["NONE"]);
  assert.deepEqual(healthFromFlags(parse("--health-retries", "2"), off)?.test, []);
  const both = parse("--no-healthcheck", "--health-retries", "2");
  assert.throws(() => healthFromFlags(both), { name: "Fault", message: /does not go with/ });
});

test("health flags, nonsense is refused", () => {
  for (const args of [
    ["--health-retries", "-1"],
    ["--health-interval", "5"],
    ["--health-retries", "many"],
  ]) {
    const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
    addHealthFlags(command);
    assert.throws(() => command.parse(args, { from: "user" }), { name: "CommanderError" });
  }
});
