/**
 * Overlays on the hosts of a lab, made by the orchestrators themselves: ours, and Docker's beside it. Without virtual
 * addresses, for Docker's and its published ports need IPVS, which not every kernel has.
 */
import { existsSync } from "node:fs";
import { Fault } from "#proto/fault.ts";
import type { Ground } from "../ground.ts";
import type { Side } from "../side.ts";
import { deploy, remove, type Trial } from "../trial.ts";
import { hasFastPath } from "./installed-fast-path.ts";
import { httpPorts, measureRequests, measureStream, type Requests } from "./load.ts";
import type { Way } from "./scene.ts";
import { serve } from "./servers.ts";
import { overlayAddress, taskPlaces } from "./task-place.ts";

export type OverlayStream = `${Side["name"]}, ${"same host" | "across"}`;

export interface OverlayRound {
  /** Bits per second. */
  readonly streams: ReadonlyMap<OverlayStream, number>;
  /** Across hosts. */
  readonly requests: ReadonlyMap<Side["name"], Requests>;
}

export interface OverlayOptions {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

const network = "overlay";

/** Two on each of three hosts. */
const taskCount = 6;

/** The sides take turns. None where Docker's overlay carries nothing here: it is said why. */
export async function benchOverlays(
  ground: Ground,
  options: OverlayOptions,
): Promise<readonly OverlayRound[]> {
  const { signal, onStep } = options;
  const workload = { ...ground.sleeper("overlay", taskCount), network };
  const trials = ground.trials(signal);
  const rounds: OverlayRound[] = [];
  await using servers = new AsyncDisposableStack();
  const ways = new Map<Side["name"], Way>();
  for (const trial of trials) {
    await trial.side.createNetwork(network, signal);
    await deploy(trial, workload);
    ways.set(trial.side.name, await servedWay(trial, servers));
  }
  const hosts = await Promise.all(ground.ours.hosts.map(hasFastPath));
  onStep(`our hosts go ${hosts.includes(false) ? "by the rules alone" : "with the fast path"}`);
  onStep(
    existsSync("/proc/net/ip_vs")
      ? "Docker's virtual addresses and published ports are not measured"
      : "this kernel has no IPVS: Docker has no virtual addresses and published ports here",
  );
  try {
    while (rounds.length < options.rounds) rounds.push(await measureRound(ways, signal));
  } catch (thrown) {
    signal.throwIfAborted();
    onStep(Fault.wrap("Cannot compare with Docker's overlay", thrown).message);
  }
  await servers.disposeAsync();
  for (const trial of trials) await remove(trial, workload);
  return rounds;
}

async function measureRound(
  ways: ReadonlyMap<Side["name"], Way>,
  signal: AbortSignal,
): Promise<OverlayRound> {
  const streams = new Map<OverlayStream, number>();
  const requests = new Map<Side["name"], Requests>();
  for (const kind of ["local", "remote"] as const) {
    for (const [side, way] of ways) {
      signal.throwIfAborted();
      const name = `${side}, ${kind === "local" ? "same host" : "across"}` as const;
      streams.set(name, await measureStream(way.client, way[kind]));
    }
  }
  for (const [side, { client, remote }] of ways) {
    signal.throwIfAborted();
    requests.set(side, await measureRequests(client, `${remote}:${httpPorts.kept}`));
  }
  return { streams, requests };
}

/** From a task to one beside it and to one on another host, with servers in these two. */
async function servedWay({ side, lab }: Trial, servers: AsyncDisposableStack): Promise<Way> {
  // The first host has its manager beside it.
  const places = side.hosts.toReversed().map((host) => taskPlaces(lab, host));
  const [client, local] = places[0] ?? [];
  const [remote] = places[1] ?? [];
  if (client === undefined || local === undefined || remote === undefined) {
    throw new Fault("internal", `${side.name}: tasks are not spread over the hosts`);
  }
  servers.use(await serve([local, remote]));
  const [near, far] = [await overlayAddress(local), await overlayAddress(remote)];
  return { client: client.run, local: near, remote: far };
}
