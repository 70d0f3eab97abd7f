/** Milliseconds ↔ protobuf's Duration and Timestamp, and durations as users write them ("1m30s"). */
import { create } from "@bufbuild/protobuf";
import {
  type Duration,
  DurationSchema,
  type Timestamp,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import { Fault } from "./fault.ts";

export function durationFromMs(ms: number): Duration {
  return create(DurationSchema, secondsAndNanos(ms, Math.trunc(ms / 1000)));
}

/** `fallbackMs` where the duration is unset. */
export function msFromDuration(duration: Duration | undefined, fallbackMs: number): number {
  if (duration === undefined) return fallbackMs;
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function timestampFromMs(ms: number): Timestamp {
  return create(TimestampSchema, secondsAndNanos(ms, Math.floor(ms / 1000)));
}

/** Rounding may make a whole second of the rest, which is one too many for a count of nanoseconds. */
function secondsAndNanos(ms: number, seconds: number): { seconds: bigint; nanos: number } {
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  if (Math.abs(nanos) < 1e9) return { seconds: BigInt(seconds), nanos: nanos || 0 };
  return { seconds: BigInt(seconds + Math.sign(nanos)), nanos: 0 };
}

/** 0 where the timestamp is unset. */
export function msFromTimestamp(timestamp: Timestamp | undefined): number {
  if (timestamp === undefined) return 0;
  return Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5, as keyboards have it
  μs: 1e-3, // U+03BC, the Greek letter
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's longest duration, 2^63 − 1 ns: 292 years. */
const durationMsMax = 9_223_372_036_854;

/** A duration in Go's notation ("500ms", "1m30s", "0"), as Docker's flags and files have it, in milliseconds. */
export function parseDurationMs(text: string): number {
  const invalid = (why: string) =>
    new Fault("invalid-argument", `invalid duration "${text}": ${why}`);
  if (text === "0") return 0;
  if (!/^[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) {
    throw invalid("write a number with a unit, such as 500ms, 10s or 1m30s");
  }
  let ms = 0;
  for (const [, amount, unit = ""] of text.matchAll(/([0-9.]+)([a-zµμ]+)/g)) {
    ms += Number(amount) * (unitsMs[unit] ?? Number.NaN);
  }
  if (!(ms <= durationMsMax)) throw invalid("292 years are the most");
  return text.startsWith("-") && ms > 0 ? -ms : ms;
}
