/**
 * The files of one task's log, oldest first: log.4 … log.1, log.0, log. conmon writes `log`; `log.0` is a second name of
 * the same file, so that it is not lost when conmon begins a new one, which it does when it is told to, or by itself at a
 * size that it reaches only while nobody tells it. Then what log.0 names becomes log.1, and the oldest goes.
 *
 * Renaming and listing are each done at one stroke (synchronous calls), so within this program nobody sees half of it.
 */
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "#proto/fault.ts";

/** What conmon's control pipe understands: begin the log file anew. */
const reopen = "2 0 0\n";

/** So many files of a log are looked for. */
const filesMax = 1000;

export interface LogFile {
  readonly inode: number;
  readonly path: string;
  readonly sizeBytes: number;
}

export function logPath(folder: string): string {
  return join(folder, "log");
}

/** Those that are there, oldest first. */
export function listLogFiles(folder: string): readonly LogFile[] {
  const files: LogFile[] = [];
  const base = logPath(folder);
  for (let number = 0; number < filesMax; number++) {
    const file = look(`${base}.${number}`);
    // log.0 may be missing before the first look at a log that has others.
    if (file === undefined && number > 0) break;
    if (file !== undefined) files.unshift(file);
  }
  const present = look(base);
  if (present === undefined) return files;
  return [...files.filter(({ inode }) => inode !== present.inode), present];
}

/** Opens a file of the log as it was listed; undefined: it went meanwhile, and the list has to be made anew. */
export function openLogFile({ path, inode }: LogFile): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  if (fstatSync(fd).ino === inode) return fd;
  closeSync(fd);
  return undefined;
}

export interface RotationLimits {
  readonly fileBytesMax: number;
  readonly files: number;
}

export class LogRotation {
  readonly #base: string;
  readonly #limits: RotationLimits;
  /** The file that conmon was told to leave, through which pipe. Told twice, it would leave the next one as well. */
  #told: { readonly inode: number; readonly controlPipe: string } | undefined;

  constructor(folder: string, limits: RotationLimits) {
    this.#base = logPath(folder);
    this.#limits = limits;
  }

  /** Brings the files in order after conmon began a new one, and tells it to when the present one is full. */
  look(controlPipe: string): void {
    const present = look(this.#base);
    if (present === undefined) return;
    const { inode, sizeBytes } = present;
    const held = look(`${this.#base}.0`);
    if (held?.inode !== inode) {
      if (held !== undefined) shift(this.#base, this.#limits);
      linkSync(this.#base, `${this.#base}.0`);
      // It did; and numbers of inodes are used again.
      this.#told = undefined;
      return;
    }
    const isTold = this.#told?.inode === inode && this.#told.controlPipe === controlPipe;
    if (isTold || sizeBytes < this.#limits.fileBytesMax) return;
    if (tellConmon(controlPipe)) this.#told = { inode, controlPipe };
  }
}

/**
 * log.0 → log.1 and so on; of `files` in all, `log` is one. Files that conmon has ended by itself are larger than they
 * should be: then fewer are kept, but always the last one, for who is reading it.
 */
function shift(base: string, { files, fileBytesMax }: RotationLimits): void {
  for (let number = files - 1; rmIfThere(`${base}.${number}`); number++);
  for (let number = files - 2; number >= 0; number--) {
    if (look(`${base}.${number}`) === undefined) continue;
    renameSync(`${base}.${number}`, `${base}.${number + 1}`);
  }
  let sizeBytes = 0;
  for (let number = 1; number < files; number++) {
    sizeBytes += look(`${base}.${number}`)?.sizeBytes ?? 0;
    if (number > 1 && sizeBytes > files * fileBytesMax) rmIfThere(`${base}.${number}`);
  }
}

function rmIfThere(path: string): boolean {
  const isThere = look(path) !== undefined;
  if (isThere) rmSync(path);
  return isThere;
}

/** False: nobody is at the pipe's other end, as the container has ended. */
function tellConmon(controlPipe: string): boolean {
  try {
    const fd = openSync(controlPipe, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(fd, reopen);
      return true;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (!["ENOENT", "ENXIO", "EAGAIN"].includes(errnoOf(error) ?? "")) throw error;
    return false;
  }
}

function look(path: string): LogFile | undefined {
  const stats: Stats | undefined = statSync(path, { throwIfNoEntry: false });
  return stats && { inode: stats.ino, path, sizeBytes: stats.size };
}
