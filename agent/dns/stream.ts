/** DNS over TCP: every message behind its length in two bytes (RFC 1035 section 4.2.2). */

/** Cuts a stream into messages. Holds at most one incomplete message and what came in one read behind it. */
export class StreamReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    let offset = 0;
    while (offset + 2 <= bytes.length) {
      const end = offset + 2 + bytes.readUInt16BE(offset);
      if (end > bytes.length) break;
      messages.push(bytes.subarray(offset + 2, end));
      offset = end;
    }
    this.#rest = bytes.subarray(offset);
    return messages;
  }
}

export function streamMessage(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
