/** Tells managers what this node's tasks use, again each interval for as long as somebody listens; at no cost otherwise. */
import type {
  ContainerService,
  WatchStatsRequest,
  WatchStatsResponse,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { create } from "@bufbuild/protobuf";
import { WatchStatsResponseSchema } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { msFromDuration, timestampFromMs } from "#proto/time.ts";
import type { CgroupPaths } from "../container/cgroup.ts";
import { readStats, type Stats, type StatsPlace } from "./read-stats.ts";

/** A container that runs. */
export interface StatsSource extends Omit<StatsPlace, "cgroups"> {
  readonly serviceId: string;
  /** Where its cgroups are, which takes longer to find out than what they count. */
  readonly readCgroups: () => CgroupPaths;
}

const intervalMsDefault = 1_000;

/** Reading more often than this would show noise, and cost. */
const intervalMsMin = 100;

/** Containers read at the same time: each is some files of the kernel's, which take turns in Node's threads. */
const atOnceMax = 8;

export interface StatsModules {
  /** The containers that run now. */
  readonly list: () => readonly StatsSource[];
  readonly clock: Clock;
}

export function statsHandlers(
  modules: StatsModules,
): Pick<Handlers<typeof ContainerService>, "watchStats"> {
  return { watchStats: (request, context) => watchStats(request, context, modules) };
}

async function* watchStats(
  { taskIds, interval }: WatchStatsRequest,
  { signal }: Pick<CallContext, "signal">,
  { list, clock }: StatsModules,
): AsyncGenerator<WatchStatsResponse, void, undefined> {
  const intervalMs = Math.max(intervalMsMin, msFromDuration(interval, intervalMsDefault));
  const wanted = new Set(taskIds);
  let known: ReadonlyMap<number, CgroupPaths> = new Map();
  while (!signal.aborted) {
    const sources = list().filter(({ taskId }) => wanted.size === 0 || wanted.has(taskId));
    const places = sources.map((source) => {
      const cgroups = known.get(source.pid) ?? source.readCgroups();
      return { ...source, cgroups };
    });
    known = new Map(places.map(({ pid, cgroups }) => [pid, cgroups]));
    const at = timestampFromMs(clock.now());
    yield create(WatchStatsResponseSchema, { at, tasks: await readAll(places) });
    await clock.sleep(intervalMs, signal).catch(() => undefined);
  }
}

async function readAll(places: readonly StatsPlace[]): Promise<Stats[]> {
  const all: Stats[] = [];
  const rest = places.values();
  const work = async () => {
    for (const place of rest) all.push(await readStats(place));
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, places.length) }, work));
  return all;
}
