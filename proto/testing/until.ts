/** For tests that wait for what nothing tells of: the kernel, a file that another program writes. */
import assert from "node:assert/strict";
import { systemClock } from "../system-ports.ts";

const waitMsMax = 30_000;
const lookMs = 5;

/** Looks often. Fails with what was waited for, so that no test waits for ever. */
export async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  const endsAtMs = systemClock.monotonic() + waitMsMax;
  while (!(await is())) {
    assert(systemClock.monotonic() < endsAtMs, `waited for ${what}`);
    await systemClock.sleep(lookMs);
  }
}
