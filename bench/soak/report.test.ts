import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSoakReport } from "./report.ts";
import type { MeasuredProcess } from "./soak.ts";

function measured(host: string, program: MeasuredProcess["program"], cpu: number): MeasuredProcess {
  const summary = {
    cpuPercent: cpu,
    cpuPercentEach: [cpu, cpu + 1],
    rssMbStart: 100.123,
    rssMbEnd: 101,
    rssMbPerHour: -0.25,
  };
  return { host, program, summary };
}

const processes = [
  measured("h1", "manager", 2.5),
  measured("h1", "swarmd", 0.25),
  measured("h2", "manager", 3.126),
];
const result = { processes, leader: "h2", sessions: [60, 40], openedAgain: 0 };

test("a soak's last line is its result, of the managers' processes first", () => {
  const lines = formatSoakReport({ agents: 98, minutes: 30 }, result).split("\n");
  assert.equal(lines.at(-1), "");
  const { swarmd, ...line } = JSON.parse(lines.at(-2) ?? "") as Record<string, unknown>;
  assert.deepEqual(line, {
    bench: "soak",
    agents: 98,
    minutes: 30,
    cpu_percent: [2.5, 3.13],
    cpu_percent_max: 3.13,
    rss_mb_start: [100.12, 100.12],
    rss_mb_end: [101, 101],
    rss_growth_mb_per_hour: [-0.25, -0.25],
    leader: "h2",
    sessions: [60, 40],
    sessions_opened_again: 0,
  });
  assert.equal((swarmd as Record<string, unknown>)["cpu_percent_max"], 0.25);
});

test("the table has a line for each process", () => {
  assert.deepEqual(formatSoakReport({ agents: 98, minutes: 30 }, result).split("\n").slice(0, 3), [
    "HOST   PROGRAM   CPU %   BUSIEST MINUTE   RSS MB   AT THE END   PER HOUR",
    "h1     manager   2.50    3.50             100.1    101.0        -0.3",
    "h1     swarmd    0.25    1.25             100.1    101.0        -0.3",
  ]);
});
