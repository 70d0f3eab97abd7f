import assert from "node:assert/strict";
import { test } from "node:test";
import { benchSoak } from "./soak.ts";

test("a soak measures both programs of each of three hosts, with all its agents there to the end", async (t) => {
  const settings = { agents: 3, minutes: 0.05, warmUp: 0 };
  const result = await benchSoak({ ...settings, signal: t.signal, onStep: () => {} });
  const { processes, leader, sessions, openedAgain } = result;
  assert.deepEqual(
    processes.map(({ host, program }) => `${host} ${program}`),
    ["h1 manager", "h1 swarmd", "h2 manager", "h2 swarmd", "h3 manager", "h3 swarmd"],
  );
  for (const { summary } of processes) {
    assert.ok(summary.cpuPercent >= 0 && summary.rssMbStart > 10 && summary.rssMbEnd > 10);
  }
  assert.match(leader, /^h[123]$/);
  // The managers' own nodes have sessions too.
  const all = sessions.reduce((sum, count) => sum + count, 0);
  assert.equal(all, settings.agents + sessions.length);
  assert.equal(openedAgain, 0);
});
