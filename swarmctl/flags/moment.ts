/** Moments as flags name them: a time, seconds since 1970, or how long ago. */
import { Fault } from "#proto/fault.ts";
import { parseDurationMs } from "#proto/time.ts";

export const momentHelp = "a time such as 2026-01-02T15:04:05Z, or how long ago, such as 10m";

const rfc3339 = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** Milliseconds since 1970. */
export function parseMomentMs(text: string, nowMs: number): number {
  if (rfc3339.test(text)) {
    const ms = Date.parse(text);
    if (Number.isFinite(ms)) return ms;
    throw new Fault("invalid-argument", `There is no such time as "${text}"`);
  }
  if (/^\d{9,12}(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  return nowMs - parseDurationMs(text);
}
