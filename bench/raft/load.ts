/**
 * The program that puts load on a group of managers, run on a virtual host of the LAN. What it does stands in its one
 * argument, a JSON object; what comes of it is written on stdout.
 *
 *     {"mode":"throughput", "target":…, "clients":64, "warmUpMs":1000, "measureMs":5000}
 *         closed loops, each with one write under way; one line of JSON: Throughput
 *     {"mode":"probe", "target":…}
 *         writes to every manager again and again; a line "START END" (ms since 1970) for each write that succeeded;
 *         ends with its standard input
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { type Target, Writer } from "./writer.ts";

const writeDeadlineMs = 20_000;
/** Shorter, so that one which hangs on a dead manager does not hide that the next would succeed. */
const probeDeadlineMs = 1_000;
const probePauseMs = 10;

export type Job =
  | {
      readonly mode: "throughput";
      readonly target: Target;
      readonly clients: number;
      readonly warmUpMs: number;
      readonly measureMs: number;
    }
  | { readonly mode: "probe"; readonly target: Target };

export interface Throughput {
  readonly writesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Writes to the first address, which is the leader's. All clients share one connection, as the callers of one program do. */
async function throughput(job: Extract<Job, { mode: "throughput" }>): Promise<Throughput> {
  const [leader = ""] = job.target.addresses;
  using writer = new Writer(job.target, leader);
  const from = performance.now() + job.warmUpMs;
  const until = from + job.measureMs;
  const latencies: number[] = [];
  const loop = async () => {
    for (;;) {
      const startedAt = performance.now();
      if (startedAt >= until) return;
      await writer.write(writeDeadlineMs);
      const endedAt = performance.now();
      if (endedAt >= from && endedAt < until) latencies.push(endedAt - startedAt);
    }
  };
  await Promise.all(Array.from({ length: job.clients }, loop));
  latencies.sort((a, b) => a - b);
  const quantile = (share: number) => latencies[Math.floor(share * latencies.length)] ?? 0;
  return {
    writesPerSecond: latencies.length / (job.measureMs / 1000),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

async function probe({ target }: Extract<Job, { mode: "probe" }>): Promise<never> {
  const loop = async (address: string): Promise<never> => {
    const writer = new Writer(target, address);
    for (;;) {
      const startedAt = Date.now();
      const succeeded = await writer.write(probeDeadlineMs).then(
        () => true,
        () => false,
      );
      if (succeeded) process.stdout.write(`${startedAt} ${Date.now()}\n`);
      await sleep(probePauseMs);
    }
  };
  return await Promise.race(target.addresses.map(loop));
}

const job = JSON.parse(process.argv[2] ?? "") as Job;
if (job.mode === "throughput") {
  process.stdout.write(`${JSON.stringify(await throughput(job))}\n`);
} else {
  probe(job).catch((thrown: unknown) => {
    process.stderr.write(`${String(thrown)}\n`);
    process.exit(1);
  });
  await once(process.stdin.resume(), "close");
  process.exit();
}
