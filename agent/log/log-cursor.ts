/**
 * A place in a task's log, and reading on from it, file by file, in chunks, as fast as it is asked for and no faster. The
 * file that is being read is held open, so it is read to its end also when it is dropped meanwhile; files between it and
 * the oldest that is still there are lost then, and the reader is told.
 */
import { closeSync, read } from "node:fs";
import { promisify } from "node:util";
import { LogAssembler, type LogLine, lineBytesMax, parsePiece } from "./k8s-file.ts";
import { listLogFiles, type LogFile, openLogFile } from "./log-files.ts";

const chunkBytes = 64 * 1024;

const readAt = promisify(read);

/** Some lines; never none, except to tell that before them others were dropped. */
export interface LogChunk {
  readonly lines: readonly LogLine[];
  readonly dropped: boolean;
}

/** Where to go on after this program was started again. */
export interface LogPlace {
  readonly inode: number;
  readonly offset: number;
}

interface OpenFile {
  readonly fd: number;
  readonly inode: number;
  offset: number;
}

export class LogCursor implements Disposable {
  readonly #folder: string;
  readonly #assembler = new LogAssembler();
  #file: OpenFile | undefined;
  #dropped = false;

  /** At the oldest line that there is, or will be. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** From here on nothing of a line is missing; a line of the other stream may come once more. */
  get place(): LogPlace | undefined {
    if (this.#file === undefined) return undefined;
    const { inode, offset } = this.#file;
    return { inode, offset: Math.max(0, offset - this.#assembler.pendingBytes) };
  }

  /** False where the place is not there any more: then the cursor stays at the oldest line. */
  seek({ inode, offset }: LogPlace): boolean {
    const file = listLogFiles(this.#folder).find((one) => one.inode === inode);
    if (file === undefined || offset > file.sizeBytes) return false;
    return this.#open(file, offset);
  }

  /** Goes to the last `count` lines of what is there now. */
  async seekTail(count: number): Promise<void> {
    const tail = new TailCount(count);
    for (const file of listLogFiles(this.#folder).toReversed()) {
      if (!this.#open(file, 0) || this.#file === undefined) return;
      if (count === 0) {
        this.#file.offset = file.sizeBytes;
        return;
      }
      this.#file.offset = await findTail(this.#file.fd, file.sizeBytes, tail);
      if (tail.isFull) return;
    }
  }

  /** Leaves out files that end before this time. Nanoseconds since 1970. */
  async seekTime(sinceNs: bigint): Promise<void> {
    for (const file of listLogFiles(this.#folder).toReversed()) {
      if (!this.#open(file, 0) || this.#file === undefined) return;
      const head = await readChunk(this.#file.fd, 0, chunkBytes);
      const first = parsePiece(head.subarray(0, Math.max(0, head.indexOf(0x0a))));
      if (first !== undefined && first.timestampNs < sinceNs) return;
    }
  }

  /** All that there is from here on. What comes later is for the next call. */
  async *read(): AsyncGenerator<LogChunk, void, undefined> {
    if (this.#file === undefined) this.#openNext();
    while (this.#file !== undefined) {
      yield* this.#readRest(this.#file);
      if (!this.#isComplete(this.#file)) return;
      // What was written between the last reading and the beginning of the next file.
      yield* this.#readRest(this.#file);
      yield* this.#openNext();
    }
  }

  /** Lines without an end, when nothing more will come. */
  flush(): readonly LogLine[] {
    return this.#assembler.flush();
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  async *#readRest(file: OpenFile): AsyncGenerator<LogChunk, void, undefined> {
    for (;;) {
      const chunk = await readChunk(file.fd, file.offset, chunkBytes);
      if (chunk.length === 0) return;
      file.offset += chunk.length;
      const lines = this.#assembler.push(chunk);
      if (lines.length === 0) continue;
      const dropped = this.#dropped;
      this.#dropped = false;
      yield { lines, dropped };
    }
  }

  /** Whether there is a newer file than this one, or this one is not of the log any more. */
  #isComplete({ inode }: OpenFile): boolean {
    const files = listLogFiles(this.#folder);
    return files.length > 0 && files.at(-1)?.inode !== inode;
  }

  /** Goes on to the file after the present one, or to the oldest. Returns what the cut leaves over. */
  #openNext(): readonly LogChunk[] {
    for (;;) {
      const files = listLogFiles(this.#folder);
      const here = this.#file;
      const index = files.findIndex(({ inode }) => inode === here?.inode);
      const next = files[index + 1];
      if (next === undefined) return [];
      if (!this.#open(next, 0)) continue;
      if (here === undefined || index >= 0) return [];
      this.#dropped = true;
      const lines = this.#assembler.cut();
      return lines.length > 0 ? [{ lines, dropped: false }] : [];
    }
  }

  #open(file: LogFile, offset: number): boolean {
    const fd = openLogFile(file);
    if (fd === undefined) return false;
    this.#close();
    this.#file = { fd, inode: file.inode, offset };
    return true;
  }

  #close(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
  }
}

/** Counts a log's lines from its end. A line ends with its last piece, and begins behind the end of the one before. */
class TailCount {
  readonly #wanted: number;
  #lines = 0;
  #isLast = true;
  isFull = false;

  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  /** The piece before those that it was told of. True: the tail begins behind it. */
  isBefore(bytes: Buffer): boolean {
    const piece = parsePiece(bytes);
    if (piece === undefined) return false;
    // What the log ends with counts also where the container has not ended it.
    const endsLine = !piece.partial || this.#isLast;
    this.#isLast = false;
    if (endsLine && this.#lines === this.#wanted) this.isFull = true;
    if (endsLine) this.#lines += 1;
    return this.isFull;
  }
}

/** Where in a file the tail begins; 0 where it takes all of the file. Read from its end, in chunks. */
async function findTail(fd: number, end: number, tail: TailCount): Promise<number> {
  let rest: Buffer = Buffer.alloc(0);
  for (let begin = end; begin > 0; ) {
    const sizeBytes = Math.min(chunkBytes, begin);
    begin -= sizeBytes;
    const bytes = Buffer.concat([await readChunk(fd, begin, sizeBytes), rest]);
    const hasEnd = bytes.includes(0x0a);
    let lineEnd = bytes.lastIndexOf(0x0a);
    while (lineEnd >= 0) {
      const before = lineEnd > 0 ? bytes.lastIndexOf(0x0a, lineEnd - 1) : -1;
      // The first line of these bytes begins in the ones before them.
      if (before < 0 && begin > 0) break;
      if (tail.isBefore(bytes.subarray(before + 1, lineEnd))) return begin + lineEnd + 1;
      lineEnd = before;
    }
    rest = hasEnd ? bytes.subarray(0, lineEnd + 1) : bytes;
    if (rest.length > lineBytesMax) break;
  }
  return 0;
}

async function readChunk(fd: number, position: number, sizeBytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await readAt(
    fd,
    Buffer.allocUnsafe(sizeBytes),
    0,
    sizeBytes,
    position,
  );
  return buffer.subarray(0, bytesRead);
}
