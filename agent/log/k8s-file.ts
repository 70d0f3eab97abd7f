/**
 * The format in which conmon writes a container's output ("k8s-file", CRI's log format): one line per piece,
 *
 *   2026-01-31T12:00:00.123456789+00:00 stdout F text
 *
 * F ends a line of the container's, P does not: what follows it on the same stream goes on with it. Bytes to records;
 * pure. A line that is not of this form (the file was torn by a power loss) is skipped.
 */
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";

export interface LogPiece {
  /** Nanoseconds since 1970. */
  readonly timestampNs: bigint;
  readonly stream: LogStream;
  readonly data: Buffer;
  /** The container's line goes on in the stream's next piece. */
  readonly partial: boolean;
}

/** A line of the container's; with `partial` one without an end: too long for one piece, or the last that there is. */
export type LogLine = LogPiece;

const headPattern =
  /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2}) (stdout|stderr) ([FP])(?: |$)/;

/** Longer than any head. */
const headBytesMax = 64;

export function parsePiece(line: Buffer): LogPiece | undefined {
  const head = headPattern.exec(line.subarray(0, headBytesMax).toString("latin1"));
  if (head === null) return undefined;
  const [all, seconds = "", fraction = "", zone = "", stream = "", tag = ""] = head;
  const ms = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(ms)) return undefined;
  return {
    timestampNs: BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0")),
    stream: stream === "stdout" ? LogStream.STDOUT : LogStream.STDERR,
    data: line.subarray(all.length),
    partial: tag === "P",
  };
}

/** A container's line without end is cut into pieces of this size, as other log readers do. */
export const lineBytesMax = 1024 * 1024;

/**
 * What has come of a stream's line so far, copied: a container may write it byte by byte, and each piece would hold on to
 * all that was read along with it.
 */
class OpenLine {
  readonly #stream: LogStream;
  #timestampNs: bigint;
  #bytes: Buffer;
  sizeBytes = 0;

  constructor(first: LogPiece) {
    this.#stream = first.stream;
    this.#timestampNs = first.timestampNs;
    this.#bytes = Buffer.allocUnsafeSlow(2 * first.data.length);
    this.add(first);
  }

  add({ data, timestampNs }: LogPiece): void {
    this.#timestampNs = timestampNs;
    const sizeBytes = this.sizeBytes + data.length;
    if (sizeBytes > this.#bytes.length) {
      const bytes = Buffer.allocUnsafeSlow(2 * sizeBytes);
      this.#bytes.copy(bytes, 0, 0, this.sizeBytes);
      this.#bytes = bytes;
    }
    data.copy(this.#bytes, this.sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** `partial`: it has no end. Its time is that of its last piece: readers go on by times, so these must not go back. */
  line(partial: boolean): LogLine {
    const data = this.#bytes.subarray(0, this.sizeBytes);
    return { timestampNs: this.#timestampNs, stream: this.#stream, data, partial };
  }
}

/** Turns the bytes of a log, in whatever chunks they come, into the container's lines. */
export class LogAssembler {
  #rest: Buffer = Buffer.alloc(0);
  #pendingBytes = 0;
  readonly #open = new Map<LogStream, OpenLine>();

  /** How many of the bytes pushed last belong to lines that have not come out. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  push(chunk: Buffer): LogLine[] {
    this.#pendingBytes += chunk.length;
    const lines: LogLine[] = [];
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let begin = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, begin)) {
      const piece = parsePiece(bytes.subarray(begin, end));
      begin = end + 1;
      const line = piece === undefined ? undefined : this.#onPiece(piece);
      if (line !== undefined) lines.push(line);
      if (this.#open.size === 0) this.#pendingBytes = bytes.length - begin;
    }
    const rest = bytes.subarray(begin);
    // A file that has no line ends is not a log.
    this.#rest = rest.length > lineBytesMax ? Buffer.alloc(0) : Buffer.from(rest);
    return lines;
  }

  /** What the container wrote last, without an end of line. */
  flush(): LogLine[] {
    const lines = [...this.#open.values()].map((open) => open.line(true));
    this.#open.clear();
    return lines.toSorted((a, b) => (a.timestampNs < b.timestampNs ? -1 : 1));
  }

  /** What comes next does not go on with what came before: something between them is lost. */
  cut(): LogLine[] {
    this.#rest = Buffer.alloc(0);
    return this.flush();
  }

  #onPiece(piece: LogPiece): LogLine | undefined {
    const { stream, partial } = piece;
    const open = this.#open.get(stream);
    if (open === undefined) {
      if (!partial) return piece;
      this.#open.set(stream, new OpenLine(piece));
      return undefined;
    }
    open.add(piece);
    if (partial && open.sizeBytes < lineBytesMax) return undefined;
    this.#open.delete(stream);
    return open.line(partial);
  }
}
