/** Sizes as Docker writes them. */

interface SizeStyle {
  readonly base: number;
  readonly units: readonly string[];
  readonly digits: number;
}

const decimal = { base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB"] };
const onDisk = { ...decimal, digits: 4 };
const inTraffic = { ...decimal, digits: 3 };
const inMemory = { base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], digits: 4 };

/** Of what is on disks. */
export function formatSize(bytes: number): string {
  return sizeText(bytes, onDisk);
}

/** Of memory: flags take it in powers of 1024, too, and 64m shall read 64MiB. */
export function formatMemory(bytes: number): string {
  return sizeText(bytes, inMemory);
}

/** Of what was sent and read. */
export function formatTraffic(bytes: number): string {
  return sizeText(bytes, inTraffic);
}

function sizeText(bytes: number, { base, units, digits }: SizeStyle): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= base && unit < units.length - 1) {
    amount /= base;
    unit += 1;
  }
  return `${Number(amount.toPrecision(digits))}${units[unit]}`;
}
