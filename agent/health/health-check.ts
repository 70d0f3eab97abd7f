/**
 * What a container's health check is: the image's HEALTHCHECK, which the service's overrides field by field, over Docker's
 * defaults. Pure.
 */
import type { HealthConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";

export interface HealthCheck {
  /** A program and its arguments, run inside the container. */
  readonly command: readonly string[];
  /** From the end of one probe to the beginning of the next. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** So many failures in a row make it unhealthy. */
  readonly retries: number;
  /** Failures count only after it, or after the first success. */
  readonly startPeriodMs: number;
  /** Instead of the interval within the start period, until the first success. */
  readonly startIntervalMs: number;
}

/** As an image has it (OCI: `config.Healthcheck`, Docker's extension); 0 and the empty list: not said. */
export interface ImageHealthcheck {
  readonly test: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
}

export interface ImageHealth {
  readonly healthcheck?: ImageHealthcheck;
  /** Runs what stands after CMD-SHELL; Docker's `SHELL`. */
  readonly shell?: readonly string[];
}

const defaults = {
  intervalMs: 30_000,
  timeoutMs: 30_000,
  retries: 3,
  startPeriodMs: 0,
  startIntervalMs: 5_000,
} as const;

const shellDefault = ["/bin/sh", "-c"];

/** Undefined: the container has no check. */
export function planHealthCheck(
  wanted: HealthConfig | undefined,
  { healthcheck: image, shell }: ImageHealth,
): HealthCheck | undefined {
  const test = wanted !== undefined && wanted.test.length > 0 ? wanted.test : (image?.test ?? []);
  const command = commandOf(test, shell ?? []);
  if (command === undefined) return undefined;
  return {
    command,
    intervalMs: msFromDuration(wanted?.interval, 0) || image?.intervalMs || defaults.intervalMs,
    timeoutMs: msFromDuration(wanted?.timeout, 0) || image?.timeoutMs || defaults.timeoutMs,
    retries: wanted?.retries || image?.retries || defaults.retries,
    startPeriodMs: msFromDuration(wanted?.startPeriod, 0) || image?.startPeriodMs || 0,
    startIntervalMs:
      msFromDuration(wanted?.startInterval, 0) ||
      image?.startIntervalMs ||
      defaults.startIntervalMs,
  };
}

/** An image's test of another kind is none, as with Docker; managers refuse it in a service. */
function commandOf(
  [kind, ...words]: readonly string[],
  shell: readonly string[],
): readonly string[] | undefined {
  if (words.length === 0) return undefined;
  if (kind === "CMD") return words;
  if (kind === "CMD-SHELL") return [...(shell.length > 0 ? shell : shellDefault), ...words];
  return undefined;
}
