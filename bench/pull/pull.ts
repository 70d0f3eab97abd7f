/** How long a host takes to have an image: one of a big layer, one of many small ones; all of it, or only its tag. */
import type { Ground } from "../ground.ts";
import { type BulkImage, pushBulkImage } from "../images.ts";
import type { Metric, Samples } from "../samples.ts";
import type { Side } from "../side.ts";

const images: readonly (BulkImage & { readonly key: string; readonly title: string })[] = [
  { key: "big", title: "1 layer of 200 MB", layers: 1, layerMb: 200 },
  { key: "small", title: "30 layers of 5 MB", layers: 30, layerMb: 5 },
];

export interface PullOptions {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

interface Round {
  readonly side: Side["name"];
  readonly coldMs: number;
  readonly warmMs: number;
}

/** The sides take turns, as in the other benchmarks. */
export async function benchPull(ground: Ground, options: PullOptions): Promise<readonly Metric[]> {
  const metrics: Metric[] = [];
  for (const image of images) {
    const reference = await pushBulkImage(ground.lab, image, options);
    const rounds: Round[] = [];
    for (let number = 1; number <= options.rounds; number++) {
      for (const side of ground.sides) rounds.push(await pullTwice(side, reference, options));
    }
    const { key, title } = image;
    metrics.push(
      metric(`${title}, cold`, key === "big" ? "" : "small_", samplesOf(rounds, "coldMs")),
      metric(`${title}, warm`, `${key}_warm_`, samplesOf(rounds, "warmMs")),
    );
  }
  return metrics;
}

async function pullTwice(
  side: Side,
  image: string,
  { signal, onStep }: PullOptions,
): Promise<Round> {
  const host = await side.expendableHost(signal);
  const pull = async () => {
    const startedAt = performance.now();
    await side.pullImage(host, image, signal);
    return performance.now() - startedAt;
  };
  const round = { side: side.name, coldMs: await pull(), warmMs: await pull() };
  await side.removeImage(host, image, signal);
  onStep(`${side.name}: ${image} in ${round.coldMs.toFixed(0)} ms`);
  return round;
}

function metric(title: string, prefix: string, samples: Samples): Metric {
  const fields = {
    ours: `${prefix}ours_ms`,
    peer: `${prefix}peer_ms`,
    ratio: `${prefix}ratio`,
  };
  return { title, fields, samples };
}

function samplesOf(rounds: readonly Round[], what: "coldMs" | "warmMs"): Samples {
  const of = (side: Side["name"]) =>
    rounds.filter((round) => round.side === side).map((round) => round[what]);
  const [ours, peer] = [of("ours"), of("peer")];
  return peer.length === 0 ? { ours } : { ours, peer };
}
