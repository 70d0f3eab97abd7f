/** The kernel's files of counters, of cgroups v1 and v2 and of network devices, as numbers. Pure; never fails. */

/** "key value" in each line, as memory.stat and cpu.stat have it. */
export function parseKeyed(text: string): ReadonlyMap<string, bigint> {
  const counters = new Map<string, bigint>();
  for (const [, key = "", value = ""] of text.matchAll(/^(\S+) (\d{1,20})$/gm)) {
    counters.set(key, BigInt(value));
  }
  return counters;
}

/** A file that is one number; undefined: "max", which is no limit, or no number. */
export function parseNumber(text: string): bigint | undefined {
  const digits = /^\s*(\d{1,20})\s*$/.exec(text)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}

export interface BlockIo {
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
}

/** v1, blkio.throttle.io_service_bytes_recursive: "8:0 Read 4096". */
export function parseBlkio(text: string): BlockIo {
  const sums = { Read: 0n, Write: 0n };
  for (const [, word, value = ""] of text.matchAll(/^\d+:\d+ (Read|Write) (\d{1,20})$/gm)) {
    sums[word === "Read" ? "Read" : "Write"] += BigInt(value);
  }
  return { readBytes: sums.Read, writtenBytes: sums.Write };
}

/** v2, io.stat: "8:0 rbytes=4096 wbytes=0 rios=1 …". */
export function parseIoStat(text: string): BlockIo {
  const sumOf = (key: string) => {
    let sum = 0n;
    for (const [, value = ""] of text.matchAll(new RegExp(` ${key}=(\\d{1,20})(?= |$)`, "gm"))) {
      sum += BigInt(value);
    }
    return sum;
  };
  return { readBytes: sumOf("rbytes"), writtenBytes: sumOf("wbytes") };
}

interface NetworkBytes {
  readonly receivedBytes: bigint;
  readonly sentBytes: bigint;
}

/** /proc/PID/net/dev: all devices of a namespace but loopback. Received bytes are the first number, sent ones the ninth. */
export function parseNetDev(text: string): NetworkBytes {
  let receivedBytes = 0n;
  let sentBytes = 0n;
  for (const line of text.split("\n")) {
    const [, name, counters = ""] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    const numbers = counters.trim().split(/\s+/);
    if (name === undefined || name === "lo") continue;
    receivedBytes += parseNumber(numbers[0] ?? "") ?? 0n;
    sentBytes += parseNumber(numbers[8] ?? "") ?? 0n;
  }
  return { receivedBytes, sentBytes };
}
