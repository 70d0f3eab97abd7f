/** What the benchmark of replicated writes prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import { median, medianOf } from "../samples.ts";
import type { Group } from "./group.ts";
import { clientCounts, type ThroughputSample } from "./raft.ts";

export type Failovers = ReadonlyMap<Group["name"], readonly number[]>;

const ratioNames = new Map<Group["name"], string>([
  ["etcd", "ratio"],
  ["etcd_tls", "ratio_tls"],
]);

/**
 * The last line's `ratio` is our throughput by etcd's at 64 clients: above 1 we do more. Ours has TLS always; etcd has it in
 * `ratio_tls`.
 */
export function formatRaftReport(
  samples: readonly ThroughputSample[],
  failovers: Failovers,
): string {
  const groups = [...new Set(samples.map(({ group }) => group))];
  const rows = clientCounts.flatMap((clients) =>
    groups.map((group) => throughputRow(samplesOf(samples, group, clients), group, clients)),
  );
  const throughputTable = formatTable(
    ["GROUP", "CLIENTS", "WRITES/S", "P50 MS", "P99 MS", "EACH ROUND"],
    rows,
  );
  const failoverTable = formatTable(
    ["GROUP", "LEADER KILLED → NEXT WRITE", "EACH"],
    [...failovers].map(([group, times]) => [group, `${medianOf(times)} ms`, times.join(" ")]),
  );
  const line = JSON.stringify({
    bench: "raft",
    ...throughputFields(samples, groups),
    ...failoverFields(failovers),
  });
  return `${throughputTable}\n${failoverTable}\n${line}\n`;
}

function samplesOf(
  samples: readonly ThroughputSample[],
  group: Group["name"],
  clients: number,
): readonly ThroughputSample[] {
  return samples.filter((sample) => sample.group === group && sample.clients === clients);
}

function throughputRow(
  samples: readonly ThroughputSample[],
  group: string,
  clients: number,
): readonly string[] {
  return [
    group,
    `${clients}`,
    rate(samples).toFixed(0),
    median(samples.map(({ p50Ms }) => p50Ms)).toFixed(1),
    median(samples.map(({ p99Ms }) => p99Ms)).toFixed(1),
    samples.map(({ writesPerSecond }) => writesPerSecond.toFixed(0)).join(" "),
  ];
}

function rate(samples: readonly ThroughputSample[]): number {
  return median(samples.map(({ writesPerSecond }) => writesPerSecond));
}

function throughputFields(
  samples: readonly ThroughputSample[],
  groups: readonly Group["name"][],
): Readonly<Record<string, number>> {
  const fields: Record<string, number> = {};
  for (const clients of clientCounts) {
    for (const group of groups) {
      fields[`${group}_writes_per_s_${clients}`] = Math.round(
        rate(samplesOf(samples, group, clients)),
      );
    }
    for (const [peer, name] of ratioNames) {
      if (!groups.includes(peer)) continue;
      const ratio =
        rate(samplesOf(samples, "ours", clients)) / rate(samplesOf(samples, peer, clients));
      fields[clients === 64 ? name : `${name}_${clients}`] = Math.round(ratio * 1000) / 1000;
    }
  }
  return fields;
}

function failoverFields(failovers: Failovers): Readonly<Record<string, number>> {
  const fields = [...failovers].map(([group, times]) => {
    const name = group === "ours" ? "failover_ms" : `${group}_failover_ms`;
    return [name, medianOf(times)] as const;
  });
  return Object.fromEntries(fields);
}
