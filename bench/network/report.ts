/** What the benchmark of the network prints: a table for people, and as the last line one JSON object for programs. */
import { formatTable } from "#swarmctl/output/table.ts";
import { median } from "../samples.ts";
import type { NetworkBench, RequestsName, Round, StreamName } from "./network.ts";

/**
 * Ratios are medians of the rounds' own. `ratio` and what has no prefix is ours as installed, with the fast path; `rules_…`
 * without it. Throughput's are to the classical way; a VIP's, a published port's and encryption's to the direct way of
 * the same data plane.
 */
export function formatNetworkReport({ rounds, attach, backendChangeMs }: NetworkBench): string {
  const stream = (name: StreamName, to: StreamName) =>
    ratio(rounds, ({ streams }) => [streams.get(name), streams.get(to)]);
  const rate = (name: RequestsName, to: RequestsName) =>
    ratio(rounds, ({ requests }) => [requests.get(name)?.perSecond, requests.get(to)?.perSecond]);
  const p99 = (name: RequestsName, to: RequestsName) =>
    ratio(rounds, ({ requests }) => [requests.get(name)?.p99Ms, requests.get(to)?.p99Ms]);
  const line = {
    bench: "network",
    ratio: stream("fast, across", "classical, across"),
    rules_ratio: stream("rules, across", "classical, across"),
    same_host_ratio: stream("fast, same host", "classical, same host"),
    rules_same_host_ratio: stream("rules, same host", "classical, same host"),
    vip_stream_ratio: stream("fast, VIP", "fast, across"),
    rules_vip_stream_ratio: stream("rules, VIP", "rules, across"),
    encrypted_ratio: stream("encrypted", "rules, across"),
    requests_ratio: rate("fast", "classical"),
    rules_requests_ratio: rate("rules", "classical"),
    vip_ratio: rate("fast, VIP", "fast"),
    vip_p99_ratio: p99("fast, VIP", "fast"),
    rules_vip_ratio: rate("rules, VIP", "rules"),
    rules_vip_p99_ratio: p99("rules, VIP", "rules"),
    published_ratio: rate("fast, published", "fast"),
    rules_published_ratio: rate("rules, published", "rules"),
    encrypted_requests_ratio: rate("encrypted", "rules"),
    attach_spawns: attach.fast.spawns,
    attach_ms: rounded(attach.fast.wallMs),
    attach_cpu_ms: rounded(attach.fast.cpuMs),
    rules_attach_spawns: attach.rules.spawns,
    rules_attach_ms: rounded(attach.rules.wallMs),
    rules_attach_cpu_ms: rounded(attach.rules.cpuMs),
    backend_change_ms: rounded(backendChangeMs),
  };
  return `${streamTable(rounds)}\n${requestsTable(rounds)}\n${JSON.stringify(line)}\n`;
}

function streamTable(rounds: readonly Round[]): string {
  const rows = namesOf(rounds, ({ streams }) => streams).map((name) => {
    const gigabits = rounds.map(({ streams }) => (streams.get(name) ?? 0) / 1e9);
    return [name, median(gigabits).toFixed(1), gigabits.map((it) => it.toFixed(1)).join(" ")];
  });
  return formatTable(["ONE TCP STREAM", "GBIT/S", "EACH ROUND"], rows);
}

function requestsTable(rounds: readonly Round[]): string {
  const rows = namesOf(rounds, ({ requests }) => requests).map((name) => {
    const all = rounds.flatMap(({ requests }) => requests.get(name) ?? []);
    const rates = all.map(({ perSecond }) => perSecond);
    const p99 = median(all.map(({ p99Ms }) => p99Ms));
    return [
      name,
      median(rates).toFixed(0),
      p99.toFixed(2),
      rates.map((it) => it.toFixed(0)).join(" "),
    ];
  });
  return formatTable(["REQUESTS ACROSS HOSTS", "PER SECOND", "P99 MS", "EACH ROUND"], rows);
}

function namesOf<Name>(
  rounds: readonly Round[],
  mapOf: (round: Round) => ReadonlyMap<Name, unknown>,
): readonly Name[] {
  return rounds.slice(0, 1).flatMap((round) => [...mapOf(round).keys()]);
}

function ratio(
  rounds: readonly Round[],
  pairOf: (round: Round) => readonly [number | undefined, number | undefined],
): number {
  const ratios = rounds.map((round) => {
    const [part = Number.NaN, whole = Number.NaN] = pairOf(round);
    return part / whole;
  });
  return Math.round(median(ratios) * 1_000) / 1_000;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
