/** What the benchmark of the nameserver prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import { median } from "../samples.ts";
import { type DnsRound, steadyRate } from "./dns.ts";

/** The last line's `ratio` is our answers per second by the peer's: above 1 we do more. */
export function formatDnsReport(rounds: readonly DnsRound[]): string {
  const ours = rounds.filter(({ side }) => side === "ours");
  const peer = rounds.filter(({ side }) => side === "peer");
  const header = [
    "SERVER",
    "ANSWERS/S",
    `P50 MS AT ${steadyRate}/S`,
    "P99 MS",
    "LOST",
    "EACH ROUND",
  ];
  const rows = [rowOf("ours", ours), ...(peer.length > 0 ? [rowOf("dnsmasq", peer)] : [])];
  const [a, b] = [summary(ours), peer.length > 0 ? summary(peer) : undefined];
  const line = JSON.stringify({
    bench: "dns",
    ours_per_s: a.perSecond,
    ours_cpu_us: a.cpuUs,
    ours_p99_ms: a.p99Ms,
    ours_lost: a.lost,
    idle_loop_max_ms: worst(ours.map(({ idle }) => idle?.maxMs ?? 0)),
    loop_p99_ms: worst(ours.map(({ busy }) => busy?.p99Ms ?? 0)),
    loop_max_ms: worst(ours.map(({ busy }) => busy?.maxMs ?? 0)),
    ...(b && {
      peer_per_s: b.perSecond,
      peer_cpu_us: b.cpuUs,
      peer_p99_ms: b.p99Ms,
      peer_lost: b.lost,
      ratio: rounded(a.perSecond / b.perSecond),
      cpu_ratio: rounded(a.cpuUs / b.cpuUs),
      p99_ratio: rounded(a.p99Ms / b.p99Ms),
    }),
  });
  return `${formatTable(header, rows)}\n${line}\n`;
}

function summary(rounds: readonly DnsRound[]) {
  return {
    perSecond: Math.round(median(rounds.map((round) => round.answersPerSecond))),
    cpuUs: rounded(median(rounds.map(({ cpuUs }) => cpuUs))),
    p50Ms: rounded(median(rounds.map(({ p50Ms }) => p50Ms))),
    p99Ms: rounded(median(rounds.map(({ p99Ms }) => p99Ms))),
    lost: rounded(median(rounds.map(({ lost }) => lost))),
  };
}

function rowOf(name: string, rounds: readonly DnsRound[]): readonly string[] {
  const { perSecond, cpuUs, p50Ms, p99Ms, lost } = summary(rounds);
  const each = rounds.map((round) => round.answersPerSecond).join(" ");
  return [name, ...[perSecond, cpuUs, p50Ms, p99Ms, lost].map(String), each];
}

function worst(values: readonly number[]): number {
  return rounded(Math.max(...values));
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
