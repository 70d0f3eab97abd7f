/**
 * What the data plane carries: by the rules alone, with the fast path, and the classical way beside them; directly, through a
 * service, through a published port, encrypted. The ways take turns, and ratios are of one round: what else goes on in the
 * machine meets neighbours in time alike.
 */
import { type AttachCost, measureAttach, measureBackendChange } from "./changes.ts";
import { measureRequests, measureStream, type Requests } from "./load.ts";
import { Scene, type WayName } from "./scene.ts";

export interface NetworkBenchOptions {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export type StreamName =
  | `${WayName}, same host`
  | `${WayName}, across`
  | "rules, VIP"
  | "fast, VIP"
  | "encrypted";

export type RequestsName =
  | WayName
  | "rules, VIP"
  | "fast, VIP"
  | "rules, published"
  | "fast, published"
  | "encrypted";

export interface Round {
  /** Bits per second. */
  readonly streams: ReadonlyMap<StreamName, number>;
  readonly requests: ReadonlyMap<RequestsName, Requests>;
}

export interface NetworkBench {
  readonly rounds: readonly Round[];
  readonly attach: { readonly rules: AttachCost; readonly fast: AttachCost };
  readonly backendChangeMs: number;
}

/** As the bar is set: services, and backends of each. */
export const manyServices = { services: 2_000, backends: 20 } as const;

export async function benchNetwork(options: NetworkBenchOptions): Promise<NetworkBench> {
  const { signal, onStep } = options;
  await using scene = await Scene.open(onStep);
  const rounds: Round[] = [];
  for (let number = 1; number <= options.rounds; number += 1) {
    signal.throwIfAborted();
    const round = {
      streams: await streamsOf(scene, signal),
      requests: await requestsOf(scene, signal),
    };
    rounds.push(round);
    const [fast, classical] = [
      round.streams.get("fast, across"),
      round.streams.get("classical, across"),
    ];
    onStep(
      `round ${number}: across hosts ${gigabits(fast)} with the fast path, ${gigabits(classical)} classical`,
    );
  }
  const attach = {
    rules: await measureAttach(scene.host(1), 128),
    fast: await measureAttach(scene.host(3), 160),
  };
  onStep("tasks were attached");
  signal.throwIfAborted();
  const host = scene.host(1);
  const backendChangeMs = await measureBackendChange(host, scene.state(host), manyServices);
  return { rounds, attach, backendChangeMs };
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
  const cases = [
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
  for (const [name, client, server] of cases) {
    signal.throwIfAborted();
    requests.set(name, await measureRequests(client, server));
  }
  return requests;
}
