/** Amounts as users write them in flags and files: memory ("64m", "1GiB") and parts of a CPU ("0.5"). */
import { Fault } from "./fault.ts";

// Docker's rule: every prefix is a power of 1024, whether it is written k, kb or KiB.
const powerOfPrefix: Readonly<Record<string, number>> = { "": 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/** A size in bytes, as Docker's flags and files have it. */
export function parseSizeBytes(text: string): bigint {
  const match = /^(?<amount>\d+(?:\.\d+)?) ?(?<prefix>[kmgtp]?)(?:b|(?<=[kmgtp])ib)?$/i.exec(text);
  const { amount, prefix } = match?.groups ?? {};
  const power = powerOfPrefix[prefix?.toLowerCase() ?? ""];
  const bytes = amount === undefined || power === undefined ? NaN : Number(amount) * 1024 ** power;
  if (!Number.isFinite(bytes) || bytes > Number.MAX_SAFE_INTEGER) {
    throw new Fault(
      "invalid-argument",
      `invalid size "${text}": write bytes or a number with a unit, such as 512k, 64m or 1g`,
    );
  }
  return BigInt(Math.trunc(bytes));
}

const nanosPerCpu = 1_000_000_000n;

/** CPUs as a decimal number ("0.5", "2") in billionths, exactly: at most nine decimals. */
export function parseNanoCpus(text: string): bigint {
  const match = /^(?<whole>\d{0,6})(?:\.(?<part>\d{1,9}))?$/.exec(text);
  const { whole, part } = match?.groups ?? {};
  if (!whole && !part) {
    throw new Fault(
      "invalid-argument",
      `invalid number of CPUs "${text}": write a decimal number, such as 0.5 or 2`,
    );
  }
  return BigInt(whole || "0") * nanosPerCpu + BigInt((part ?? "").padEnd(9, "0"));
}
