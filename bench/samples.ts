/** What repeated measurements come to. */
import { Fault } from "#proto/fault.ts";

/** One thing that was measured, of each side that took part. */
export interface Metric {
  readonly title: string;
  /** Its names in the JSON line. */
  readonly fields: { readonly ours: string; readonly peer: string; readonly ratio: string };
  /** One per round. */
  readonly samples: Samples;
  /** Default: milliseconds. */
  readonly unit?: Unit;
}

export type Unit = "ms" | "MB" | "% of a core";

export interface Samples {
  readonly ours: readonly number[];
  readonly peer?: readonly number[];
}

/** The middle of the samples, in whole milliseconds: the clock says more, but means no more. Of the rest, with a decimal. */
export function medianOf(samples: readonly number[], unit: Unit = "ms"): number {
  const digits = unit === "ms" ? 1 : 10;
  return Math.round(median(samples) * digits) / digits;
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) {
    throw new Fault("internal", "nothing was measured");
  }
  return (lower + upper) / 2;
}

/** Ours by the peer's, with three decimals: below 1 ours takes less. Undefined where no peer took part. */
export function ratioOf({ ours, peer }: Samples): number | undefined {
  if (peer === undefined) return undefined;
  return Math.round((median(ours) / median(peer)) * 1000) / 1000;
}

/** The smallest sample that so many are not above. */
export function percentile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.ceil(part * sorted.length) - 1] ?? Number.NaN;
}
