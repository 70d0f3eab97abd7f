import assert from "node:assert/strict";
import { test } from "node:test";
import { readLatency, readRate } from "./load.ts";
import { formatDnsReport } from "./report.ts";

const said = `[Status] Sending queries (to 127.0.0.1:53)
> NOERROR s0 A 0.001000
> NOERROR tasks.s0 A 0.002000
> NXDOMAIN s1 A 0.003000
> T s2 A
Statistics:

  Queries sent:         4
  Queries lost:         1 (25.00%)
  Queries per second:   22211.814879
`;

test("dnsperf's words are read: the rate, and one line for each answer", () => {
  assert.equal(readRate(said), 22_212);
  assert.deepEqual(readLatency([said]), { p50Ms: 2, p99Ms: 2, lost: 0.25 });
  assert.throws(() => readRate("nothing"), /Queries per second/);
});

test("the report ends with one line of JSON; its ratio says how much more we answer", () => {
  const loop = { p99Ms: 2, maxMs: 5 };
  const common = { p50Ms: 0.1, lost: 0, idle: undefined, busy: undefined };
  const lines = formatDnsReport([
    {
      ...common,
      side: "ours",
      answersPerSecond: 30_000,
      cpuUs: 20,
      p99Ms: 1,
      idle: loop,
      busy: loop,
    },
    { ...common, side: "peer", answersPerSecond: 40_000, cpuUs: 10, p99Ms: 2 },
  ]).split("\n");
  assert.deepEqual(JSON.parse(lines.at(-2) ?? ""), {
    bench: "dns",
    ours_per_s: 30_000,
    ours_cpu_us: 20,
    ours_p99_ms: 1,
    ours_lost: 0,
    idle_loop_max_ms: 5,
    loop_p99_ms: 2,
    loop_max_ms: 5,
    peer_per_s: 40_000,
    peer_cpu_us: 10,
    peer_p99_ms: 2,
    peer_lost: 0,
    ratio: 0.75,
    cpu_ratio: 2,
    p99_ratio: 0.5,
  });
});
