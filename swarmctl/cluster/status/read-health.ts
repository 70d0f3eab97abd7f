/**
 * Everything that `cluster status` looks at, read within seconds whatever hangs: the managers are asked once, and all hosts
 * side by side. What does not answer in time is unknown, and that is told, too.
 */
import { Fault } from "#proto/fault.ts";
import { EngineService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { GetInfoResponse } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { inParallel } from "#provision/in-parallel.ts";
import type { Context } from "../../context.ts";
import { nodeName } from "../../node-call.ts";
import { compareText } from "../../output/table.ts";

export interface Health {
  readonly nowMs: number;
  readonly cluster: Cluster | undefined;
  readonly hosts: readonly Host[];
  /** Why nothing newer is known than what one manager knew last; undefined: the leader has answered. */
  readonly leaderless?: string;
  /** Then, and where the manager is this host's: what its swarmd says. */
  readonly own?: GetInfoResponse;
}

export interface Host {
  readonly node: Node;
  readonly name: string;
  /** Undefined: it was not asked, as it is not ready, or not answered. */
  readonly state?: HostState;
  /** Why it did not answer. */
  readonly silence?: Fault;
}

export interface HostState {
  /** How far its clock is ahead of the others, and how wrong that may be: half of what the question took. */
  readonly clockOffsetMs: number;
  readonly clockErrorMs: number;
  readonly diskBytes: number;
  readonly diskFreeBytes: number;
}

/** Longer than a change of leader takes. */
const managerMs = 3_000;
const hostMs = 3_000;

export async function readHealth(context: Context): Promise<Health> {
  const { nodes, cluster, leaderless } = await readCluster(context);
  const named = nodes
    .map((node) => ({ node, name: nodeName(node) }))
    .toSorted((a, b) => compareText(a.name, b.name) || compareText(a.node.id, b.node.id));
  const own = leaderless === undefined ? undefined : await readOwn(context);
  const hosts = await inParallel(named, async (host) => await askHost(context, host));
  return {
    nowMs: context.io.clock.now(),
    cluster,
    hosts: relativeToOthers(hosts),
    ...(leaderless !== undefined && { leaderless }),
    ...(own !== undefined && { own }),
  };
}

async function readCluster(context: Context) {
  try {
    return await readThrough(context, {});
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.code !== "deadline-exceeded" && fault.code !== "unavailable") throw fault;
    // Throws what was wrong with the manager itself, where that is it.
    const known = await readThrough(context, { stale: true });
    const late = fault.code === "deadline-exceeded";
    const why = late ? `no leader answers within ${managerMs / 1000} s` : fault.message;
    return { ...known, leaderless: why };
  }
}

async function readOwn(context: Context): Promise<GetInfoResponse | undefined> {
  try {
    return await (await context.node()).getInfo({}, { deadlineMs: hostMs });
  } catch (thrown) {
    if (thrown instanceof Fault) return undefined;
    throw thrown;
  }
}

async function readThrough(context: Context, options: { readonly stale?: true }) {
  const control = await context.control(options);
  const [{ nodes }, { cluster }] = await Promise.all([
    control.listNodes({}, { deadlineMs: managerMs }),
    control.getCluster({}, { deadlineMs: managerMs }).catch((thrown) => {
      // A manager that has found no leader since it started knows of no cluster yet.
      if (options.stale) return { cluster: undefined };
      throw thrown;
    }),
  ]);
  return { nodes, cluster, leaderless: undefined };
}

type Named = Pick<Host, "node" | "name">;

/** The clock's offset is the one to our clock here. */
async function askHost(context: Context, host: Named): Promise<Host> {
  if (host.node.status?.state !== NodeState.READY) return host;
  const { clock } = context.io;
  try {
    const engine = await context.engine(EngineService, host.node.id);
    const askedMs = clock.now();
    const startMs = clock.monotonic();
    const answer = await engine.getHostState({}, { deadlineMs: hostMs });
    const clockErrorMs = (clock.monotonic() - startMs) / 2;
    return {
      ...host,
      state: {
        clockOffsetMs: msFromTimestamp(answer.now) - (askedMs + clockErrorMs),
        clockErrorMs,
        diskBytes: Number(answer.diskBytes),
        diskFreeBytes: Number(answer.diskFreeBytes),
      },
    };
  } catch (thrown) {
    return { ...host, silence: Fault.from(thrown) };
  }
}

/**
 * Whose clock is wrong the majority says: offsets are from the median of all clocks, this machine's among them, so that of
 * two hosts that differ one is named.
 */
function relativeToOthers(hosts: readonly Host[]): Host[] {
  const offsets = [0, ...hosts.flatMap(({ state }) => state?.clockOffsetMs ?? [])];
  const medianMs = offsets.toSorted((a, b) => a - b)[Math.floor((offsets.length - 1) / 2)] ?? 0;
  return hosts.map((host) => {
    const { state } = host;
    if (state === undefined) return host;
    return { ...host, state: { ...state, clockOffsetMs: state.clockOffsetMs - medianMs } };
  });
}
