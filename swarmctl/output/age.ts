/** Moments, and spans of time in words, rounded as Docker rounds them. */
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

export function formatSpan(ms: number): string {
  if (ms < secondMs) return "less than a second";
  if (ms < 2 * secondMs) return "1 second";
  if (ms < minuteMs) return `${Math.floor(ms / secondMs)} seconds`;
  if (ms < 2 * minuteMs) return "about a minute";
  if (ms < hourMs) return `${Math.floor(ms / minuteMs)} minutes`;
  if (ms < 2 * hourMs) return "about an hour";
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} hours`;
  if (ms < 14 * dayMs) return `${Math.floor(ms / dayMs)} days`;
  if (ms < 60 * dayMs) return `${Math.floor(ms / (7 * dayMs))} weeks`;
  if (ms < 730 * dayMs) return `${Math.floor(ms / (30 * dayMs))} months`;
  return `${Math.floor(ms / (365 * dayMs))} years`;
}

/** As Go prints a time, which is what Docker's CreatedAt is; empty where it is not known. */
export function formatMoment(at: Timestamp | undefined): string {
  if (at === undefined) return "";
  const [day = "", time = ""] = new Date(timestampMs(at)).toISOString().split("T");
  return `${day} ${time.replace(/\.?0*Z$/, "")} +0000 UTC`;
}

/** A moment of the past; clocks of hosts differ a little, so the near future counts as now. */
export function formatAgo(atMs: number, nowMs: number): string {
  return `${formatSpan(Math.max(0, nowMs - atMs))} ago`;
}
