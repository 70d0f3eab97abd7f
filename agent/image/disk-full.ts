/** A full disk, told so that whoever reads it knows which one. */
import { errnoOf, Fault } from "#proto/fault.ts";

/** Whether the words of a program are about a full disk or a used-up quota. */
export function isDiskFull(words: string): boolean {
  return /\bENOSPC\b|\bEDQUOT\b|No space left on device|Disk quota exceeded/.test(words);
}

/** The error with the disk's place in it if it is about a full disk; otherwise the error itself. */
export function nameFullDisk(path: string, thrown: unknown): Fault {
  const fault = Fault.from(thrown);
  if (!isDiskFull(fault.message) && !hasFullDiskErrno(thrown)) return fault;
  return new Fault(
    "resource-exhausted",
    `no space is left on the disk that holds "${path}": free some and try again`,
    { cause: thrown },
  );
}

/** The errno of the error or of what caused it. */
function hasFullDiskErrno(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    const errno = errnoOf(error);
    if (errno === "ENOSPC" || errno === "EDQUOT") return true;
  }
  return false;
}
