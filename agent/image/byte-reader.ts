/** Reads a stream of chunks by byte counts. Hands out views of the chunks, and copies only what lies across two. */
import { malformed } from "./tar-header.ts";

export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** So many bytes, or undefined where the stream ends just here. */
  async exact(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for await (const piece of this.#upTo(count)) parts.push(piece);
    const [first] = parts;
    if (first === undefined && count > 0) return undefined;
    const bytes = first !== undefined && parts.length === 1 ? first : Buffer.concat(parts);
    if (bytes.length < count) throw malformed("it ends within an entry");
    return bytes;
  }

  /** So many bytes, piece by piece as they come. */
  async *pieces(count: number): AsyncGenerator<Buffer> {
    let gotBytes = 0;
    for await (const piece of this.#upTo(count)) {
      gotBytes += piece.length;
      yield piece;
    }
    if (gotBytes < count) throw malformed("it ends within an entry");
  }

  async skip(count: number): Promise<void> {
    for await (const _piece of this.pieces(count));
  }

  /** Reads to the end of the stream. */
  async drain(): Promise<void> {
    for await (const _piece of this.#upTo(Number.POSITIVE_INFINITY));
  }

  async *#upTo(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) return;
        this.#rest = next.value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }
}
