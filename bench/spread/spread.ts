/**
 * How long it takes until every host runs an image that none has, from a registry that is slow: on a cluster whose hosts
 * give each other layers, and on one whose hosts do not. Both are on one LAN, whose other traffic is not slowed.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Lab } from "#lab/lab.ts";
import { pushBulkImage } from "../images.ts";
import { OurCluster } from "../ours.ts";
import { apiIntervalMs, pollUntil } from "../poll.ts";

/** Of each cluster. */
const hostCount = 6;

/** Packed, three quarters of it: what travels is 300 MB. */
const bulkImage = { layers: 4, layerMb: 100, isRunnable: true };

/** 20 MB/s. The burst is the largest packet that the kernel hands over at once. */
const shaper = ["tbf", "rate", "160mbit", "burst", "1mb", "latency", "100ms"];

const timeoutMs = 10 * 60_000;

export interface SpreadOptions {
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export interface Spread {
  readonly name: "with" | "without";
  readonly deployMs: number;
  /** What the registry sent of layers. */
  readonly registryMb: number;
}

export async function benchSpread(options: SpreadOptions): Promise<readonly Spread[]> {
  const { signal, onStep } = options;
  await using lab = await Lab.up({
    name: `bench-${process.pid}`,
    workers: 2 * hostCount - 1,
    cluster: false,
    ownedByThisProcess: true,
    signal,
    onStep,
  });
  const tag = await pushBulkImage(lab, bulkImage, options);
  const image = `${tag}@${await digestOf(lab, tag)}`;
  using sharing = await OurCluster.up(lab.hosts.slice(0, hostCount), signal);
  const off = ["--image-peers", "off"];
  using apart = await OurCluster.up(lab.hosts.slice(hostCount), signal, off);
  // The bridge's own traffic is the registry's: what hosts send each other passes through its ports alone.
  await lab.lan.box.run("tc", ["qdisc", "add", "dev", "lan", "root", ...shaper], { signal });
  const measured: Spread[] = [];
  for (const [name, cluster] of [
    ["with", sharing],
    ["without", apart],
  ] as const) {
    onStep(`${hostCount} hosts start the image ${name} layers of each other`);
    const sentMb = await sentBy(lab);
    const deployMs = await deploy(cluster, image, signal);
    const registryMb = (await sentBy(lab)) - sentMb;
    onStep(`in ${deployMs.toFixed(0)} ms, with ${registryMb.toFixed(0)} MB from the registry`);
    await cluster.removeService("spread", signal);
    measured.push({ name, deployMs, registryMb });
  }
  return measured;
}

async function deploy(cluster: OurCluster, image: string, signal: AbortSignal): Promise<number> {
  const workload = { name: "spread", image, args: ["sleep", "100000"], replicas: hostCount };
  const startedAt = performance.now();
  await cluster.createService(workload, signal);
  const allRun = async () => (await cluster.countRunning(workload.name, signal)) === hostCount;
  const options = { intervalMs: apiIntervalMs, timeoutMs, signal };
  await pollUntil(() => `${hostCount} hosts to run the image`, allRun, options);
  return performance.now() - startedAt;
}

/** What the registry has written down that the tag stands for. */
async function digestOf({ registry }: Lab, reference: string): Promise<string> {
  const [, name = "", tag = ""] = /^[^/]+\/(.+):([^:]+)$/.exec(reference) ?? [];
  const manifests = join(
    registry.storageRoot,
    "docker/registry/v2/repositories",
    name,
    "_manifests",
  );
  return (await readFile(join(manifests, "tags", tag, "current/link"), "utf8")).trim();
}

/** MB of layers and configs that hosts have got, from the registry's log of requests. */
async function sentBy({ registry }: Lab): Promise<number> {
  const log = await readFile(registry.logPath, "utf8");
  const gets = log.matchAll(/"GET \/v2\/[^ ]+\/blobs\/[^ ]+ HTTP\/1\.1" 20[06] ([0-9]+)/g);
  return [...gets].reduce((sum, [, bytes]) => sum + Number(bytes), 0) / 1e6;
}
