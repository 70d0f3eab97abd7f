/**
 * Makes what failed in passing again after a pause that doubles, and is a little random: many hosts lose a registry at
 * the same moment, and should not all come back at the same moment. A server that names a pause (Retry-After) is obeyed.
 */
import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "#proto/fault.ts";
import type { Clock, Random } from "#proto/ports.ts";

export interface RetryOptions {
  /** Before the second attempt. */
  readonly backoffMs: number;
  readonly attempts: number;
}

export interface RetryModules {
  readonly clock: Clock;
  readonly random: Random;
}

/** A server that wants more patience than this gets an error instead. */
const retryAfterMsMax = 60_000;

/** Why an answer with this pause is an error; travels as the cause of its Fault. */
interface Pause {
  readonly retryAfterMs: number;
}

/** The pause that the server asks for, in seconds or as a date; undefined where it asks for none that can be read. */
export function retryAfterMs(headers: IncomingHttpHeaders, nowMs: number): number | undefined {
  const text = headers["retry-after"]?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  // Dates have letters; Date.parse makes one of nearly any number.
  const at = /[A-Za-z]/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** A Fault that is tried again after the pause, if it is not too long. */
export function passingFault(message: string, pauseMs: number | undefined): Fault {
  if (pauseMs === undefined) return new Fault("unavailable", message);
  if (pauseMs > retryAfterMsMax) {
    const wait = `${message}; it asks to wait ${Math.ceil(pauseMs / 1000)} s`;
    return new Fault("resource-exhausted", wait);
  }
  const cause: Pause = { retryAfterMs: pauseMs };
  return new Fault("unavailable", message, { cause });
}

/** A deadline that passed is not tried again: whoever waits has waited long enough. */
export async function retried<T>(
  options: RetryOptions & { readonly signal: AbortSignal },
  modules: RetryModules,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt();
    } catch (error) {
      const fault = Fault.from(error);
      if (fault.code !== "unavailable" || attempts >= options.attempts) throw fault;
      await pause(attempts, { ...options, fault }, modules);
    }
  }
}

/** Before the attempt that follows the `failures`-th failure in a row. */
export async function pause(
  failures: number,
  options: { readonly backoffMs: number; readonly signal: AbortSignal; readonly fault: Fault },
  { clock, random }: RetryModules,
): Promise<void> {
  const delayMs = options.backoffMs * 2 ** (failures - 1);
  const waitMs = Math.max(delayMs, pauseIn(options.fault));
  await clock.sleep(waitMs + random.int(Math.ceil(delayMs / 2) + 1), options.signal);
}

function pauseIn(fault: Fault): number {
  let cause = fault.cause;
  while (cause instanceof Error) cause = cause.cause;
  return typeof cause === "object" && cause !== null && "retryAfterMs" in cause
    ? Number(cause.retryAfterMs)
    : 0;
}
