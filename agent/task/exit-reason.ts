/** Why a container ended, in words, from what its supervisor and the kernel say. Pure. */

/** The signals' names by number, as Linux has them on x86 and ARM (signal(7)); the rest are shown as numbers. */
const signalNames: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  10: "SIGUSR1",
  11: "SIGSEGV",
  12: "SIGUSR2",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  31: "SIGSYS",
};

export interface ExitCode {
  readonly exitCode: number;
  /** The kernel killed a process of the container for want of memory. */
  readonly oomKilled: boolean;
}

/** 128 and 9: what SIGKILL leaves, which is the signal that the kernel uses when memory is short. */
const killed = 137;

/**
 * A shell's convention, which conmon follows: 128 and the signal's number. Where the killed process was not the first one,
 * that may have gone on and ended with a code of its own.
 */
export function exitReason({ exitCode, oomKilled }: ExitCode, memoryLimitBytes: number): string {
  const name = signalNames[exitCode - 128];
  const how =
    name === undefined ? `exit code ${exitCode}` : `killed by ${name} (${exitCode - 128})`;
  if (!oomKilled || exitCode === 0) return how;
  const why =
    memoryLimitBytes > 0
      ? `out of memory: the container's limit is ${sizeText(memoryLimitBytes)}`
      : "out of memory: its host has no more";
  return exitCode === killed ? why : `${how} after a process of it ran ${why}`;
}

const units = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

function sizeText(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}
