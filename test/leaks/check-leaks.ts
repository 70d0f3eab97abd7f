/** Whatever happens to a host's tasks, nothing of them is left. LEAKS_SEED draws the same events again. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";
import { SeededRandom } from "#sim/random.ts";
import { Cycles } from "./cycles.ts";
import { LeakHost } from "./leak-host.ts";

export const leaksSeed = Number(process.env["LEAKS_SEED"] ?? randomInt(2 ** 32));

/** So many random events, then a host as it was before the first task. */
export async function checkLeaks(t: TestContext, cycles: number): Promise<void> {
  await using host = await LeakHost.open();
  const story = new Cycles(host, new SeededRandom(leaksSeed));
  await story.run(cycles);
  t.diagnostic([...story.counts].map(([event, count]) => `${event}: ${count}`).join(", "));
  const ran = Map.groupBy(host.ran, (taskId) => story.kinds.get(taskId) ?? "");
  t.diagnostic([...ran].map(([kind, tasks]) => `${kind} ran: ${tasks.length}`).join(", "));
  // A host on which nothing runs has nothing to lose.
  assert.ok(host.ran.size > cycles / 60, `only ${host.ran.size} tasks ran`);
  assert.deepEqual(await host.remains(), [], `LEAKS_SEED=${leaksSeed}`);
}
