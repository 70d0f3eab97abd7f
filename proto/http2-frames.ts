/** Frames of HTTP/2 (RFC 9113, section 4) on a socket. */
import { Fault } from "./fault.ts";

export const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Bits that mean the same wherever they are used here. */
export const frameFlag = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 };

/** What both sides take unless they say otherwise, which we never do. */
export const framePayloadMax = 16 * 1024;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const prefixBytes = 9;

export function encodeFrame({ type, flags, stream, payload }: Frame): Buffer {
  const bytes = Buffer.allocUnsafe(prefixBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, prefixBytes);
  return bytes;
}

/** Cuts what a socket brings into frames. */
export class FrameCutter {
  #held: Buffer = Buffer.alloc(0);

  /** The frames that the piece completes. Throws for one that is too large. */
  push(piece: Buffer): Frame[] {
    let held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    const frames: Frame[] = [];
    while (held.length >= prefixBytes) {
      const length = held.readUIntBE(0, 3);
      if (length > framePayloadMax) {
        throw new Fault("internal", `a frame of HTTP/2 has ${length} bytes`);
      }
      const end = prefixBytes + length;
      if (held.length < end) break;
      const payload = held.subarray(prefixBytes, end);
      const [type, flags] = [held.readUInt8(3), held.readUInt8(4)];
      frames.push({ type, flags, stream: held.readUInt32BE(5) & 0x7fff_ffff, payload });
      held = held.subarray(end);
    }
    this.#held = held;
    return frames;
  }
}

/** What stands between the padding and the priority that the flags tell of. */
export function unpadded({ flags, payload }: Frame): Buffer {
  const isPadded = (flags & frameFlag.padded) !== 0;
  const start = (isPadded ? 1 : 0) + ((flags & frameFlag.priority) === 0 ? 0 : 5);
  const end = payload.length - (isPadded ? (payload[0] ?? 0) : 0);
  if (start > end) throw new Fault("internal", "a frame of HTTP/2 is all padding");
  return payload.subarray(start, end);
}
