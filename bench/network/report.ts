/** What the benchmark of the network prints: tables for people, and as the last line one JSON object for programs. */
import { formatTable } from "#swarmctl/output/table.ts";
import { median, percentile } from "../samples.ts";
import type { Convergence } from "./convergence.ts";
import type { Requests } from "./load.ts";
import type { Changes, NetworkBench, RequestsName, Round, StreamName } from "./network.ts";
import type { OverlayRound, OverlayStream } from "./overlays.ts";

/**
 * Ratios are medians of the rounds' own. What has no prefix is ours as installed, with the fast path; `rules_…` without
 * it. Throughput's are to the classical way; a VIP's, a published port's (the mesh's) and encryption's to the direct way of the
 * same data plane; a peer's are ours by Docker's.
 */
export function formatNetworkReport(bench: NetworkBench): string {
  const { rounds, changes, convergence, overlays } = bench;
  const line = {
    bench: "network",
    ...streamFields(rounds),
    ...requestFields(rounds),
    ...changeFields(changes),
    ...convergenceFields(convergence),
    ...overlayFields(overlays),
  };
  const tables = [
    streamTable(rounds),
    requestsTable(rounds),
    changesTable(changes),
    convergenceTable(convergence),
    ...(overlays.length === 0 ? [] : [overlayTable(overlays)]),
  ];
  return `${tables.join("\n")}\n${JSON.stringify(line)}\n`;
}

function streamFields(rounds: readonly Round[]) {
  const of = (name: StreamName, to: StreamName) =>
    ratio(rounds, ({ streams }) => [streams.get(name), streams.get(to)]);
  return {
    ratio: of("fast, across", "classical, across"),
    rules_ratio: of("rules, across", "classical, across"),
    same_host_ratio: of("fast, same host", "classical, same host"),
    rules_same_host_ratio: of("rules, same host", "classical, same host"),
    vip_stream_ratio: of("fast, VIP", "fast, across"),
    rules_vip_stream_ratio: of("rules, VIP", "rules, across"),
    encrypted_ratio: of("encrypted", "rules, across"),
  };
}

function requestFields(rounds: readonly Round[]) {
  const rate = (name: RequestsName, to: RequestsName) =>
    ratio(rounds, ({ requests }) => [requests.get(name)?.perSecond, requests.get(to)?.perSecond]);
  const p99 = (name: RequestsName, to: RequestsName) =>
    ratio(rounds, ({ requests }) => [requests.get(name)?.p99Ms, requests.get(to)?.p99Ms]);
  const fields = (prefix: string, way: "rules" | "fast", load: "" | ", new connections") => ({
    [`${prefix}vip_ratio`]: rate(`${way}, VIP${load}`, `${way}${load}`),
    [`${prefix}vip_p99_ratio`]: p99(`${way}, VIP${load}`, `${way}${load}`),
    [`${prefix}mesh_ratio`]: rate(`${way}, published${load}`, `${way}${load}`),
    [`${prefix}mesh_p99_ratio`]: p99(`${way}, published${load}`, `${way}${load}`),
  });
  return {
    requests_ratio: rate("fast", "classical"),
    rules_requests_ratio: rate("rules", "classical"),
    encrypted_requests_ratio: rate("encrypted", "rules"),
    ...fields("", "fast", ""),
    ...fields("new_", "fast", ", new connections"),
    ...fields("rules_", "rules", ""),
    ...fields("rules_new_", "rules", ", new connections"),
  };
}

function changeFields({ attach, slots, backendChangeMs }: Changes) {
  const fields = (prefix: string, name: keyof Changes["attach"]) => ({
    [`${prefix}attach_spawns`]: attach[name].spawns,
    [`${prefix}attach_later_spawns`]: attach[name].laterSpawns,
    [`${prefix}attach_ms`]: rounded(attach[name].wallMs),
    [`${prefix}attach_cpu_ms`]: rounded(attach[name].cpuMs),
  });
  return {
    ...fields("", "fast"),
    ...fields("rules_", "rules"),
    ...fields("bare_", "bare"),
    backend_change_nft_ms: rounded(slots.changeNftMs),
    backend_change_reload_ratio: thousandths(slots.changeNftMs / slots.reloadNftMs),
    backend_change_ms: rounded(backendChangeMs),
  };
}

function convergenceFields({ namedMs, connectedMs }: Convergence) {
  return {
    converge_p50_ms: rounded(median(connectedMs)),
    converge_p99_ms: rounded(percentile(connectedMs, 0.99)),
    converge_max_ms: rounded(Math.max(...connectedMs)),
    converge_named_p50_ms: rounded(median(namedMs)),
    converge_named_p99_ms: rounded(percentile(namedMs, 0.99)),
    converge_samples: connectedMs.length,
  };
}

function overlayFields(rounds: readonly OverlayRound[]) {
  if (rounds.length === 0) return {};
  const stream = (name: OverlayStream, to: OverlayStream) =>
    ratio(rounds, ({ streams }) => [streams.get(name), streams.get(to)]);
  const requests = (field: "perSecond" | "p99Ms") =>
    ratio(rounds, ({ requests: of }) => [of.get("ours")?.[field], of.get("peer")?.[field]]);
  return {
    peer_ratio: stream("ours, across", "peer, across"),
    peer_same_host_ratio: stream("ours, same host", "peer, same host"),
    peer_requests_ratio: requests("perSecond"),
    peer_p99_ratio: requests("p99Ms"),
  };
}

function streamTable(
  rounds: readonly { readonly streams: ReadonlyMap<string, number> }[],
  title = "ONE TCP STREAM",
): string {
  const rows = namesOf(rounds, ({ streams }) => streams).map((name) => {
    const gigabits = rounds.map(({ streams }) => (streams.get(name) ?? 0) / 1e9);
    return [name, median(gigabits).toFixed(1), gigabits.map((it) => it.toFixed(1)).join(" ")];
  });
  return formatTable([title, "GBIT/S", "EACH ROUND"], rows);
}

function requestsTable(
  rounds: readonly { readonly requests: ReadonlyMap<string, Requests> }[],
  title = "REQUESTS ACROSS HOSTS",
): string {
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
  return formatTable([title, "PER SECOND", "P99 MS", "EACH ROUND"], rows);
}

function overlayTable(rounds: readonly OverlayRound[]): string {
  const [streams, requests] = ["ONE TCP STREAM, REAL CLUSTERS", "REQUESTS, REAL CLUSTERS"];
  return `${streamTable(rounds, streams)}\n${requestsTable(rounds, requests)}`;
}

function changesTable({ attach, slots, backendChangeMs }: Changes): string {
  const names = { bare: "ip alone", rules: "rules", fast: "fast path" } as const;
  const ms = (value: number) => value.toFixed(1);
  const attached = (Object.keys(names) as (keyof typeof names)[]).map((name) => {
    const { spawns, laterSpawns, wallMs, cpuMs } = attach[name];
    const programs = laterSpawns === 0 ? `${spawns}` : `${spawns}, then ${laterSpawns} for all`;
    return [`attach a task, ${names[name]}`, ms(wallMs), ms(cpuMs), programs];
  });
  const backends = [
    ["one backend of 2,000 × 20: nft alone", ms(slots.changeNftMs)],
    ["… what the agent computes for it", ms(slots.computeMs)],
    ["… a host's whole convergence", ms(backendChangeMs)],
    ["all of them anew: nft alone", ms(slots.reloadNftMs)],
  ];
  return formatTable(["CHANGE", "MS", "CPU MS", "PROGRAMS"], [...attached, ...backends]);
}

function convergenceTable({ namedMs, connectedMs }: Convergence): string {
  const row = (title: string, samples: readonly number[]) => [
    title,
    ...[median(samples), percentile(samples, 0.99), Math.max(...samples)].map((it) =>
      it.toFixed(0),
    ),
  ];
  const rows = [row("named on another host", namedMs), row("connected from there", connectedMs)];
  return formatTable(
    [`RUNNING → (${connectedMs.length} TASKS)`, "P50 MS", "P99 MS", "MAX MS"],
    rows,
  );
}

function namesOf<Item>(
  rounds: readonly Item[],
  mapOf: (round: Item) => ReadonlyMap<string, unknown>,
): readonly string[] {
  return rounds.slice(0, 1).flatMap((round) => [...mapOf(round).keys()]);
}

function ratio<Item>(
  rounds: readonly Item[],
  pairOf: (round: Item) => readonly [number | undefined, number | undefined],
): number {
  const ratios = rounds.map((round) => {
    const [part = Number.NaN, whole = Number.NaN] = pairOf(round);
    return part / whole;
  });
  return thousandths(median(ratios));
}

function thousandths(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
