import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { test } from "node:test";
import type { CallContext } from "#proto/grpc.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { hostStateHandlers } from "./host-state.ts";

const call = {} as CallContext;
const request = { $typeName: "swarm.v1.GetHostStateRequest" } as const;

test("host state, the clock is the host's, and the disk's size is what df says", async () => {
  const clock = new FakeClock();
  const state = await hostStateHandlers(tmpdir(), { clock }).getHostState(request, call);
  assert.deepEqual(state.now, timestampFromMs(clock.now()));
  const size = execFileSync("df", ["-B1", "--output=size", tmpdir()], { encoding: "utf8" });
  assert.equal(String(state.diskBytes), size.split("\n")[1]?.trim());
  assert.ok(Number(state.diskFreeBytes) > 0);
});

test("host state, a folder that is not there is named", async () => {
  const { getHostState } = hostStateHandlers("/nowhere/at/all", { clock: new FakeClock() });
  await assert.rejects(Promise.resolve(getHostState(request, call)), {
    message: /Cannot see how full the disk of "\/nowhere\/at\/all" is/,
  });
});
