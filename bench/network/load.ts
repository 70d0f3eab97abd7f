/** Two loads: as much as one TCP stream carries (iperf3), and as many requests as are answered (wrk and nginx). */
import type { RunResult } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";

/** A place that programs can be run at: a task, or the LAN. */
export type Run = (command: string, args: readonly string[]) => Promise<RunResult>;

export interface Requests {
  readonly perSecond: number;
  readonly p99Ms: number;
}

export const iperfPort = 5201;

/**
 * Of nginx. Loads that make connections have a port each: those that a load has just left wait for their end in conntrack,
 * and would keep the next from having the same addresses and ports.
 */
export const httpPorts = { kept: 80, direct: 8081, vip: 8082, published: 8083 } as const;

const seconds = 2;
const connections = 32;

/** In bits per second, as received. */
export async function measureStream(run: Run, address: string): Promise<number> {
  const args = ["-c", address, "-p", String(iperfPort), "-t", String(seconds), "-J"];
  return parseIperf((await run("iperf3", args)).stdout);
}

/** Over connections that are kept. */
export async function measureRequests(run: Run, hostPort: string): Promise<Requests> {
  return await wrk(run, [`http://${hostPort}/`]);
}

/** Each over a connection of its own. */
export async function measureConnections(run: Run, hostPort: string): Promise<Requests> {
  return await wrk(run, ["--header", "Connection: close", `http://${hostPort}/`]);
}

async function wrk(run: Run, more: readonly string[]): Promise<Requests> {
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", ...more];
  return parseWrk((await run("wrk", args)).stdout);
}

export function parseIperf(json: string): number {
  const rate = /"sum_received":\s*\{[^}]*"bits_per_second":\s*([\d.e+]+)/.exec(json)?.[1];
  const bitsPerSecond = Number(rate);
  if (bitsPerSecond > 0) return bitsPerSecond;
  throw new Fault("internal", "iperf3 measured nothing");
}

const usOf: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 6e7 };

export function parseWrk(text: string): Requests {
  const perSecond = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(text)?.[1]);
  const [, amount, unit = ""] = /^\s+99%\s+([\d.]+)(us|ms|s|m)$/m.exec(text) ?? [];
  const p99Ms = (Number(amount) * (usOf[unit] ?? Number.NaN)) / 1e3;
  // wrk counts answers that are no answers, and says so in a line.
  const failed = /^\s+Non-2xx|^\s+Socket errors: connect (?!0, read 0, write 0, timeout 0)/m.test(
    text,
  );
  if (perSecond > 0 && p99Ms > 0 && !failed) return { perSecond, p99Ms };
  throw new Fault("internal", `wrk measured nothing that counts: ${text.slice(-300)}`);
}
