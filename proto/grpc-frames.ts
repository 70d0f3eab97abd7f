/**
 * Messages in the body of a gRPC call: each behind a byte that says whether it is compressed and its length as 4 bytes,
 * big-endian. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { Fault } from "./fault.ts";

/** The largest message either side accepts. */
export const messageBytesMax = 16 * 1024 * 1024;

const prefixBytes = 5;

/** "resource-exhausted" for a message that is larger than the other side takes. */
export function encodeFrame(schema: DescMessage, message: Message, bytesMax: number): Buffer {
  return frameOf(toBinary(schema, message), bytesMax);
}

export function frameOf(message: Uint8Array, bytesMax: number): Buffer {
  if (message.length > bytesMax) throw tooLarge(message.length, bytesMax);
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame.writeUInt8(0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Cuts a body into messages, however it comes in pieces. */
export class FrameReader {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a message has begun and not ended. */
  get partial(): boolean {
    return this.#heldBytes > 0;
  }

  /** The messages that the piece completes; they share its memory. Throws for what cannot be a message; then it is over. */
  push(piece: Buffer): Buffer[] {
    this.#pieces.push(piece);
    this.#heldBytes += piece.length;
    const messages: Buffer[] = [];
    while (this.#heldBytes >= prefixBytes) {
      const end = prefixBytes + this.#checkedLength();
      if (this.#heldBytes < end) break;
      const held = this.#join();
      messages.push(held.subarray(prefixBytes, end));
      this.#heldBytes -= end;
      this.#pieces = this.#heldBytes === 0 ? [] : [held.subarray(end)];
    }
    return messages;
  }

  /** Of the message whose prefix has come. */
  #checkedLength(): number {
    let [head] = this.#pieces;
    if (head === undefined || head.length < prefixBytes) head = this.#join();
    if (head.readUInt8() !== 0) {
      throw new Fault("unimplemented", "compressed messages are not supported");
    }
    const length = head.readUInt32BE(1);
    if (length > this.#bytesMax) throw tooLarge(length, this.#bytesMax);
    return length;
  }

  #join(): Buffer {
    const [first = Buffer.alloc(0)] = this.#pieces;
    if (this.#pieces.length <= 1) return first;
    const joined = Buffer.concat(this.#pieces);
    this.#pieces = [joined];
    return joined;
  }
}

function tooLarge(length: number, bytesMax: number): Fault {
  const message = `a message of ${length} bytes is larger than the ${bytesMax} bytes that are taken`;
  return new Fault("resource-exhausted", message);
}
