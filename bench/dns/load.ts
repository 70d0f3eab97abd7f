/** Asks a nameserver with dnsperf, which is quicker than any nameserver here, and reads what it says. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Fault } from "#proto/fault.ts";
import type { Nameserver } from "./nameserver.ts";

/** Tasks that ask: the nameserver lets none have more than its share. */
const askers = ["127.88.1.1", "127.88.1.2", "127.88.1.3", "127.88.1.4"];
const socketsPerAsker = 2;
/** Of each asker, who then waits for an answer before it asks again. */
const outstanding = 25;
const outputBytesMax = 64 * 1024 * 1024;

export interface Load {
  readonly questionsFile: string;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Part of the questions that had no answer. */
  readonly lost: number;
}

/** As many as it answers. */
export async function answersPerSecond(server: Nameserver, load: Load): Promise<number> {
  const said = await askAll(server, load, ["-q", String(outstanding)]);
  return said.map(readRate).reduce((sum, rate) => sum + rate, 0);
}

/** At a steady rate; questions that come while others wait are asked all the same. */
export async function latencyAt(rate: number, server: Nameserver, load: Load): Promise<Latency> {
  const share = String(rate / askers.length);
  return readLatency(await askAll(server, load, ["-Q", share, "-q", share, "-v"]));
}

async function askAll(
  server: Nameserver,
  load: Load,
  args: readonly string[],
): Promise<readonly string[]> {
  return await Promise.all(askers.map((asker) => dnsperf(server, load, ["-a", asker, ...args])));
}

async function dnsperf(server: Nameserver, load: Load, args: readonly string[]): Promise<string> {
  const { questionsFile, seconds, signal } = load;
  const common = ["-s", server.address, "-p", String(server.port), "-d", questionsFile];
  const shape = ["-c", String(socketsPerAsker), "-T", "1", "-t", "1", "-l", String(seconds)];
  const options = { signal, maxBuffer: outputBytesMax, timeout: (seconds + 10) * 1_000 };
  const { stdout } = await promisify(execFile)("dnsperf", [...common, ...shape, ...args], options);
  return stdout;
}

export function readRate(said: string): number {
  return Math.round(numberAfter(said, "Queries per second"));
}

/** Lines such as "> NOERROR s0 A 0.000135" are one answer each. */
export function readLatency(said: readonly string[]): Latency {
  const seconds = said.flatMap((each) =>
    [...each.matchAll(/^> \w+ \S+ \S+ ([0-9.]+)$/gm)].map((match) => Number(match[1])),
  );
  const sorted = seconds.toSorted((a, b) => a - b);
  const at = (part: number) =>
    1_000 * (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN);
  const sum = (words: string) => said.reduce((total, each) => total + numberAfter(each, words), 0);
  return { p50Ms: at(0.5), p99Ms: at(0.99), lost: sum("Queries lost") / sum("Queries sent") };
}

function numberAfter(said: string, words: string): number {
  const match = new RegExp(`${words}: +([0-9.]+)`).exec(said);
  if (match === null) throw new Fault("internal", `dnsperf does not say "${words}"`);
  return Number(match[1]);
}
