/** Durations of stack files, in Go's notation. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";
import { refusal } from "./reader.ts";

export function parseDuration(text: string): Duration {
  return durationFromMs(parseDurationMs(text));
}

export function parseNotNegative(text: string): Duration {
  const ms = parseDurationMs(text);
  if (ms < 0) throw refusal(`"${text}" is negative`);
  return durationFromMs(ms);
}
