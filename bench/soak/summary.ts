/** What a process's samples come to. */
import { Fault } from "#proto/fault.ts";
import type { Usage } from "./usage.ts";

export interface Summary {
  /** Of one core, over the whole time. */
  readonly cpuPercent: number;
  /** The same of each window, one after the other. */
  readonly cpuPercentEach: readonly number[];
  /** Means over the first and the last window. */
  readonly rssMbStart: number;
  readonly rssMbEnd: number;
  /** The slope of the line that fits all samples best (least squares). */
  readonly rssMbPerHour: number;
}

const hourMs = 3_600_000;

/** `samples` in order of time, at least two. A last window that is not over is left out, unless it is the only one. */
export function summarize(samples: readonly Usage[], windowMs: number): Summary {
  const [first] = samples;
  const last = samples.at(-1);
  if (first === undefined || last === undefined || first === last) {
    throw new Fault("internal", "nothing was measured");
  }
  const during = (fromMs: number, untilMs: number) =>
    samples.filter(({ atMs }) => atMs >= fromMs && atMs <= untilMs).map(({ rssMb }) => rssMb);
  return {
    cpuPercent: cpuPercent(first, last),
    cpuPercentEach: windows(samples, windowMs),
    rssMbStart: mean(during(first.atMs, first.atMs + windowMs)),
    rssMbEnd: mean(during(last.atMs - windowMs, last.atMs)),
    rssMbPerHour: slope(samples) * hourMs,
  };
}

function windows(samples: readonly Usage[], windowMs: number): readonly number[] {
  const each: number[] = [];
  let [from] = samples;
  for (const sample of samples) {
    if (from === undefined || sample.atMs - from.atMs < windowMs) continue;
    each.push(cpuPercent(from, sample));
    from = sample;
  }
  const last = samples.at(-1);
  if (each.length === 0 && from !== undefined && last !== undefined) {
    each.push(cpuPercent(from, last));
  }
  return each;
}

function cpuPercent(from: Usage, to: Usage): number {
  return (100 * (to.cpuMs - from.cpuMs)) / (to.atMs - from.atMs);
}

/** MB per ms. */
function slope(samples: readonly Usage[]): number {
  const meanAtMs = mean(samples.map(({ atMs }) => atMs));
  const meanMb = mean(samples.map(({ rssMb }) => rssMb));
  let products = 0;
  let squares = 0;
  for (const { atMs, rssMb } of samples) {
    products += (atMs - meanAtMs) * (rssMb - meanMb);
    squares += (atMs - meanAtMs) ** 2;
  }
  return products / squares;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
