/** What the checks claim about questions, in the words of the checks. */
import assert from "node:assert/strict";
import type { Cluster } from "./cluster.ts";
import type { Target } from "./probe.ts";
import type { Probe } from "./probe-handle.ts";

/** The kernel repeats an unanswered SYN after a second: so late a refusal is none "at once". */
const atOnceMs = 900;

const refusals = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES"]);

export async function isRefused(probe: Probe, target: Target): Promise<void> {
  const { text, ms } = await probe.askTimed(target);
  const what = `${probe.name} → ${target.protocol} ${target.address}:${target.port}`;
  assert(refusals.has(text), `${what} was not refused: ${text}`);
  assert(ms < atOnceMs, `${what} was refused after ${ms} ms only`);
}

/** One echo request; more arguments are ping's. */
export async function pings(cluster: Cluster, task: string, ...args: string[]): Promise<boolean> {
  try {
    await cluster.inTask(task, "ping", "-n", "-c1", "-W1", ...args);
    return true;
  } catch {
    return false;
  }
}
