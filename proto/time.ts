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
  const seconds = Math.trunc(ms / 1000);
  return create(DurationSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round((ms - seconds * 1000) * 1e6),
  });
}

/** `fallbackMs` where the duration is unset. */
export function msFromDuration(duration: Duration | undefined, fallbackMs: number): number {
  if (duration === undefined) return fallbackMs;
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function timestampFromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round((ms - seconds * 1000) * 1e6),
  });
}

/** 0 where the timestamp is unset. */
export function msFromTimestamp(timestamp: Timestamp | undefined): number {
  if (timestamp === undefined) return 0;
  return Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration in Go's notation ("500ms", "1m30s", "0"), as Docker's flags and files have it, in milliseconds. */
export function parseDurationMs(text: string): number {
  const refusal = () =>
    new Fault(
      "invalid-argument",
      `invalid duration "${text}": write a number with a unit, such as 500ms, 10s or 1m30s`,
    );
  if (text === "0") return 0;
  if (!/^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) throw refusal();
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g)) {
    const factor = unit === undefined ? undefined : unitsMs[unit];
    if (factor === undefined) throw refusal();
    ms += Number(amount) * factor;
  }
  return text.startsWith("-") ? -ms : ms;
}
