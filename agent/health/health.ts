/**
 * A container's health by Docker's rules, as a pure state machine: step(health, event) → the next health. It is kept on
 * disk with the task's state, so it goes on when this program is started again.
 *
 *   starting ── success ──▶ healthy ── `retries` failures in a row ──▶ unhealthy, for good: the container is stopped
 *      └──────────── `retries` failures in a row, those of the start period not counted ───▶ unhealthy
 */
import type { HealthCheck } from "./health-check.ts";

export type HealthStatus = "starting" | "healthy" | "unhealthy";

/** One run of the check. */
export interface Probe {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** −1: it did not end in time, or could not be started in the container. */
  readonly exitCode: number;
  /** The end of what it printed, at most outputBytesMax. */
  readonly output: string;
}

export interface Health {
  readonly status: HealthStatus;
  /** In a row. */
  readonly failures: number;
  /** Since when the container runs. */
  readonly sinceMs: number;
  /** When the last try to probe ended; at first when the container started. */
  readonly lastAtMs: number;
  /** The last ones, oldest first. */
  readonly probes: readonly Probe[];
}

export type HealthEvent =
  | { readonly kind: "probed"; readonly probe: Probe }
  /** The host could not run the check, which says nothing of the container. */
  | { readonly kind: "not-probed"; readonly atMs: number };

export const probesKept = 5;
export const outputBytesMax = 4096;

/** It stands in lists of tasks. */
const reasonLengthMax = 300;

export function initialHealth(nowMs: number): Health {
  return { status: "starting", failures: 0, sinceMs: nowMs, lastAtMs: nowMs, probes: [] };
}

export function stepHealth(before: Health, event: HealthEvent, check: HealthCheck): Health {
  if (event.kind === "not-probed") return { ...before, lastAtMs: event.atMs };
  const { probe } = event;
  const health = withClockOf(before, probe.startedAtMs);
  const next = {
    ...health,
    lastAtMs: probe.endedAtMs,
    probes: [...health.probes, probe].slice(-probesKept),
  };
  if (probe.exitCode === 0) return { ...next, status: "healthy", failures: 0 };
  if (isExcused(health, probe, check)) return next;
  const failures = health.failures + 1;
  return failures < check.retries
    ? { ...next, failures }
    : { ...next, failures, status: "unhealthy" };
}

/** How long from now until the next probe. A clock that was put back does not lengthen it. */
export function nextProbeMs(health: Health, check: HealthCheck, nowMs: number): number {
  const starts = health.status === "starting" && nowMs - health.sinceMs < check.startPeriodMs;
  const intervalMs = starts ? check.startIntervalMs : check.intervalMs;
  return Math.min(Math.max(0, health.lastAtMs + intervalMs - nowMs), intervalMs);
}

/** A clock that was put back takes the beginning along: else the start period would last until it is as late again. */
function withClockOf(health: Health, nowMs: number): Health {
  const backMs = Math.max(0, health.lastAtMs - nowMs);
  return { ...health, sinceMs: health.sinceMs - backMs };
}

/** Why the container is stopped, with what the check said last, on one line. */
export function unhealthyReason({ probes, failures }: Health): string {
  const last = probes.at(-1);
  const said = (last?.output ?? "").replaceAll(/\s+/g, " ").slice(-reasonLengthMax).trim();
  return said === ""
    ? `unhealthy: the check failed ${failures} times with exit code ${last?.exitCode} and no output`
    : `unhealthy: ${said.toWellFormed()}`;
}

function isExcused(health: Health, probe: Probe, check: HealthCheck): boolean {
  return health.status === "starting" && probe.startedAtMs - health.sinceMs < check.startPeriodMs;
}
