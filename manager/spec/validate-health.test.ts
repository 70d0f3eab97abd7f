import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { checkHealth } from "./validate-health.ts";

type Init = MessageInitShape<typeof HealthConfigSchema>;

const good: readonly Init[] = [
  {},
  { test: ["NONE"] },
  { test: ["CMD", "true"] },
  { test: ["CMD-SHELL", "true && true"] },
  { interval: durationFromMs(1), timeout: durationFromMs(0), retries: 3 },
];
test("A health check is Docker's, or the image's with other settings", () => {
  for (const init of good) checkHealth("healthcheck", create(HealthConfigSchema, init));
});

const bad: readonly (readonly [Init, RegExp])[] = [
  [{ test: ["HTTP", "/"] }, /healthcheck\.test begins with "HTTP": use CMD, CMD-SHELL or NONE/],
  [{ test: ["NONE", "x"] }, /NONE takes nothing/],
  [{ test: ["CMD"] }, /CMD needs a program/],
  [{ test: ["CMD", ""] }, /CMD needs a program/],
  [{ test: ["CMD-SHELL"] }, /CMD-SHELL takes one command line/],
  [{ test: ["CMD-SHELL", "a", "b"] }, /CMD-SHELL takes one command line/],
  [{ test: ["CMD", "a\0b"] }, /NUL/],
  [{ interval: durationFromMs(0.5) }, /interval is 0\.5 ms: use at least 1 ms/],
  [{ startPeriod: durationFromMs(-1_000) }, /start_period is -1000 ms/],
  [{ startInterval: durationFromMs(-1) }, /start_interval is -1 ms/],
  [{ timeout: durationFromMs(0.1) }, /timeout is 0\.1 ms/],
  [{ retries: 4_000_000_000 }, /retries is 4000000000/],
];
for (const [init, message] of bad) {
  test(`A health check is refused: ${message.source}`, () => {
    assert.throws(() => checkHealth("healthcheck", create(HealthConfigSchema, init)), {
      name: "Fault",
      code: "invalid-argument",
      message,
    });
  });
}
