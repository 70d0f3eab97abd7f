/**
 * What the data plane carries: by the rules alone, with the fast path, and the classical way beside them; directly, through a
 * service, through a published port, encrypted. The ways take turns, and ratios are of one round: what else goes on in the
 * machine meets neighbours in time alike. Then what changes cost a host, and how soon a real cluster has converged.
 */
import { Ground } from "../ground.ts";
import { type AttachCost, measureAttach, measureBareAttach } from "./attach.ts";
import { measureBackendChange, measureSlots } from "./backends.ts";
import { type Convergence, measureConvergence } from "./convergence.ts";
import { installFastPath } from "./installed-fast-path.ts";
import {
  httpPorts,
  measureConnections,
  measureRequests,
  measureStream,
  type Requests,
} from "./load.ts";
import { benchOverlays, type OverlayRound } from "./overlays.ts";
import { Scene, type ServedWay, type WayName } from "./scene.ts";
import type { SlotsCost } from "./slots-program.ts";

export interface NetworkBenchOptions {
  readonly rounds: number;
  /** Whether Docker's overlay is measured, too. */
  readonly peer: boolean;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

type OurWayName = Exclude<WayName, "classical">;

export type StreamName =
  | `${WayName}, same host`
  | `${WayName}, across`
  | `${OurWayName}, VIP`
  | "encrypted";

export type RequestsName =
  | WayName
  | `${OurWayName}, VIP`
  | `${OurWayName}, published`
  | "encrypted"
  | `${OurWayName}, new connections`
  | `${OurWayName}, VIP, new connections`
  | `${OurWayName}, published, new connections`;

export interface Round {
  /** Bits per second. */
  readonly streams: ReadonlyMap<StreamName, number>;
  readonly requests: ReadonlyMap<RequestsName, Requests>;
}

export interface Changes {
  readonly attach: Readonly<Record<OurWayName | "bare", AttachCost>>;
  readonly slots: SlotsCost;
  /** A host's whole convergence when one of very many backends changes. */
  readonly backendChangeMs: number;
}

export interface NetworkBench {
  readonly rounds: readonly Round[];
  readonly changes: Changes;
  readonly convergence: Convergence;
  /** None without a peer. */
  readonly overlays: readonly OverlayRound[];
}

export async function benchNetwork(options: NetworkBenchOptions): Promise<NetworkBench> {
  const { peer, signal, onStep } = options;
  const carried = await benchScene(options);
  await using _ = await installFastPath();
  await using ground = await Ground.up({ peer, signal, onStep });
  const overlays = peer ? await benchOverlays(ground, options) : [];
  const convergence = await measureConvergence(ground, signal);
  onStep("a cluster has converged");
  return { ...carried, convergence, overlays };
}

async function benchScene(
  options: NetworkBenchOptions,
): Promise<Pick<NetworkBench, "rounds" | "changes">> {
  const { signal, onStep } = options;
  await using scene = await Scene.open(onStep);
  const rounds: Round[] = [];
  while (rounds.length < options.rounds) {
    const streams = await streamsOf(scene, signal);
    const requests = await requestsOf(scene, signal);
    rounds.push({ streams, requests });
    const fast = gigabits(streams.get("fast, across"));
    const classical = gigabits(streams.get("classical, across"));
    const ways = `${fast} with the fast path, ${classical} classical`;
    onStep(`round ${rounds.length}: across hosts ${ways}`);
  }
  return { rounds, changes: await changesOf(scene, signal, onStep) };
}

async function changesOf(
  scene: Scene,
  signal: AbortSignal,
  onStep: NetworkBenchOptions["onStep"],
): Promise<Changes> {
  const [host, fastHost] = [scene.host(1), scene.host(3)];
  const attach = {
    bare: await measureBareAttach(host, 192),
    rules: await measureAttach(host, 128, scene.state(host)),
    fast: await measureAttach(fastHost, 160, scene.state(fastHost)),
  };
  onStep("tasks were attached");
  signal.throwIfAborted();
  const slots = await measureSlots(signal);
  const backendChangeMs = await measureBackendChange(host, scene.state(host));
  onStep("backends went and came back");
  return { attach, slots, backendChangeMs };
}

function gigabits(bits = 0): string {
  return `${(bits / 1e9).toFixed(1)} Gbit/s`;
}

async function streamsOf(scene: Scene, signal: AbortSignal): Promise<Round["streams"]> {
  const { rules, fast, classical, sealed } = scene;
  const cases = [
    ["rules, same host", rules.client, rules.local],
    ["fast, same host", fast.client, fast.local],
    ["classical, same host", classical.client, classical.local],
    ["rules, across", rules.client, rules.remote],
    ["fast, across", fast.client, fast.remote],
    ["classical, across", classical.client, classical.remote],
    ["rules, VIP", rules.client, rules.vip],
    ["fast, VIP", fast.client, fast.vip],
    ["encrypted", sealed.client, sealed.remote],
  ] as const;
  const streams = new Map<StreamName, number>();
  for (const [name, client, address] of cases) {
    signal.throwIfAborted();
    streams.set(name, await measureStream(client, address));
  }
  return streams;
}

async function requestsOf(scene: Scene, signal: AbortSignal): Promise<Round["requests"]> {
  const { rules, fast, classical, sealed, lan } = scene;
  const kept = [
    ["rules", rules.client, rules.remote],
    ["rules, VIP", rules.client, rules.vip],
    ["rules, published", lan, rules.published],
    ["fast", fast.client, fast.remote],
    ["fast, VIP", fast.client, fast.vip],
    ["fast, published", lan, fast.published],
    ["classical", classical.client, classical.remote],
    ["encrypted", sealed.client, sealed.remote],
  ] as const;
  const requests = new Map<RequestsName, Requests>();
  for (const [name, client, server] of kept) {
    signal.throwIfAborted();
    requests.set(name, await measureRequests(client, server));
  }
  const anew = (name: OurWayName, { client, remote, vip, publishedAnew }: ServedWay) =>
    [
      [`${name}, new connections`, client, `${remote}:${httpPorts.direct}`],
      [`${name}, VIP, new connections`, client, `${vip}:${httpPorts.vip}`],
      [`${name}, published, new connections`, lan, publishedAnew],
    ] as const;
  for (const [name, client, server] of [...anew("rules", rules), ...anew("fast", fast)]) {
    signal.throwIfAborted();
    requests.set(name, await measureConnections(client, server));
  }
  return requests;
}
