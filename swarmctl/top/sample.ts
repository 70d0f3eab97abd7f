/** What nodes say that their tasks use, two moments of it as one row of numbers. Pure. */
import type { TaskStats, WatchStatsResponse } from "#proto/gen/swarm/v1/engine_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { compareText } from "../output/table.ts";

export interface Usage {
  /** Of one core; two busy cores are 200. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly networkReceivedBytes: number;
  readonly networkSentBytes: number;
  readonly blockReadBytes: number;
  readonly blockWrittenBytes: number;
  readonly pids: number;
  readonly restarts: number;
}

export interface TaskRow extends Usage {
  readonly id: string;
  readonly name: string;
  readonly node: string;
}

export interface NodeRow extends Usage {
  readonly name: string;
  readonly tasks: number;
}

/** The last two answers of a node. */
export interface NodeSamples {
  readonly before?: WatchStatsResponse;
  readonly last: WatchStatsResponse;
}

export function usageOf(stats: TaskStats, { before, last }: NodeSamples): Usage {
  const earlier = before?.tasks.find(({ taskId }) => taskId === stats.taskId);
  const passedMs = msFromTimestamp(last.at) - msFromTimestamp(before?.at);
  // A container that was started again counts from 0.
  const usedNs = earlier === undefined ? 0 : Math.max(0, Number(stats.cpuNs - earlier.cpuNs));
  return {
    cpuPercent: passedMs > 0 ? usedNs / 1e4 / passedMs : 0,
    memoryBytes: Number(stats.memoryBytes),
    memoryLimitBytes: Number(stats.memoryLimitBytes),
    networkReceivedBytes: Number(stats.networkReceivedBytes),
    networkSentBytes: Number(stats.networkSentBytes),
    blockReadBytes: Number(stats.blockReadBytes),
    blockWrittenBytes: Number(stats.blockWrittenBytes),
    pids: Number(stats.pids),
    restarts: stats.restarts,
  };
}

/** Of each node what its tasks use together; of their limits the largest, which is the node's own where one has none. */
export function nodeRows(tasks: readonly TaskRow[]): NodeRow[] {
  return [...Map.groupBy(tasks, ({ node }) => node)]
    .map(([name, ofNode]) => {
      const sum = (of: (row: TaskRow) => number) => ofNode.reduce((all, row) => all + of(row), 0);
      return {
        name,
        tasks: ofNode.length,
        cpuPercent: sum((row) => row.cpuPercent),
        memoryBytes: sum((row) => row.memoryBytes),
        memoryLimitBytes: Math.max(...ofNode.map((row) => row.memoryLimitBytes)),
        networkReceivedBytes: sum((row) => row.networkReceivedBytes),
        networkSentBytes: sum((row) => row.networkSentBytes),
        blockReadBytes: sum((row) => row.blockReadBytes),
        blockWrittenBytes: sum((row) => row.blockWrittenBytes),
        pids: sum((row) => row.pids),
        restarts: sum((row) => row.restarts),
      };
    })
    .toSorted((a, b) => compareText(a.name, b.name));
}

type Measure = (row: TaskRow) => number;

/** The largest first; where two are the same, by name. */
const measures: Readonly<Record<string, Measure>> = {
  cpu: (row) => row.cpuPercent,
  memory: (row) => row.memoryBytes,
  net: (row) => row.networkReceivedBytes + row.networkSentBytes,
  io: (row) => row.blockReadBytes + row.blockWrittenBytes,
  pids: (row) => row.pids,
  restarts: (row) => row.restarts,
  name: () => 0,
};

export const sortWords = Object.keys(measures);

export function sortRows(rows: readonly TaskRow[], by: string): TaskRow[] {
  const measure = measures[by] ?? (() => 0);
  return rows.toSorted((a, b) => measure(b) - measure(a) || compareText(a.name, b.name));
}
