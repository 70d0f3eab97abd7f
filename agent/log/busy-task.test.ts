/** A real container that writes as fast as it can, on a node in a process of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemExec } from "../exec.ts";

const mebibyte = 2 ** 20;

test("logs, a task that writes without end: bounded memory and disk, and others are heard", {
  timeout: 60_000,
}, async (t) => {
  const node = new URL("testing/busy-node.ts", import.meta.url).pathname;
  const { stdout } = await systemExec.run(process.execPath, [node, "4"], { timeoutMs: 55_000 });
  t.diagnostic(stdout.trim());
  const cost = JSON.parse(stdout);
  // Its files are to hold 3 × 1 MiB. So much has each of the last three where conmon ends them before it is told to.
  assert.ok(cost.diskBytes <= 10 * mebibyte, `${cost.diskBytes} bytes of log`);
  assert.ok(cost.grownBytes <= 150 * mebibyte, `${cost.grownBytes} bytes of memory`);
  assert.ok(cost.busy > 1000, "its lines were read");
  assert.ok(cost.dropped > 0, "a slow reader was told that it lost some");
  // Ten in a second, on a machine that does more than this.
  assert.ok(cost.quiet >= 8, `${cost.quiet} lines of its neighbour`);
  assert.ok(cost.p99Ms < 1000, `the event loop stood still for ${cost.p99Ms} ms`);
});
