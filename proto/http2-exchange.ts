/**
 * A client's side of HTTP/2 on a unix socket, for whole requests and whole replies. It is not Node's: that takes longer to
 * load than everything else that a short command does (docs/decisions.md). What does not fit into the windows that the other side
 * has given is for Node's.
 */
import { connect, type Socket } from "node:net";
import { Fault } from "./fault.ts";
import { decodeHeaders, encodeHeaders } from "./hpack.ts";
import {
  encodeFrame,
  type Frame,
  FrameCutter,
  frameFlag,
  framePayloadMax,
  frameType,
  unpadded,
} from "./http2-frames.ts";

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const windowAtFirst = 65_535;
const windowMax = 2 ** 31 - 1;
const setting = { headerTableSize: 1, enablePush: 2, initialWindowSize: 4 };
const errorCancel = 8;

export interface Exchange {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

export interface Reply {
  /** Those of the reply's beginning and of its end. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

interface Waiting {
  readonly headers: Map<string, string>;
  readonly body: Buffer[];
  bodyBytes: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (fault: Fault) => void;
}

export interface Asked {
  readonly reply: Promise<Reply>;
  readonly cancel: (fault: Fault) => void;
}

export class Http2Exchange {
  readonly #socket: Socket;
  readonly #bodyBytesMax: number;
  readonly #cutter = new FrameCutter();
  readonly #waiting = new Map<number, Waiting>();
  #nextStream = 1;
  #window = windowAtFirst;
  #streamWindow = windowAtFirst;
  #receivedBytes = 0;
  /** A header block of which more is to come. */
  #block: { readonly first: Frame; readonly parts: Buffer[] } | undefined;
  #isOver = false;

  constructor(path: string, { bodyBytesMax }: { readonly bodyBytesMax: number }) {
    this.#bodyBytesMax = bodyBytesMax;
    this.#socket = connect(path);
    this.#socket.on("data", (piece: Buffer) => this.#onData(piece));
    this.#socket.on("error", ({ message }) => this.#fail(new Fault("unavailable", message)));
    this.#socket.on("close", () => {
      this.#fail(new Fault("unavailable", "the other side ended the call"));
    });
    this.#socket.write(preface);
    this.#send(frameType.settings, {
      payload: settings([
        [setting.headerTableSize, 0],
        [setting.enablePush, 0],
        [setting.initialWindowSize, windowMax],
      ]),
    });
    this.#send(frameType.windowUpdate, { payload: number32(windowMax - windowAtFirst) });
  }

  /** Whether no more can be asked here. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it can be sent at once. */
  fits({ body }: Exchange): boolean {
    return body.length <= Math.min(this.#window, this.#streamWindow);
  }

  ask({ headers, body }: Exchange): Asked {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const { promise: reply, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.set(stream, { headers: new Map(), body: [], bodyBytes: 0, resolve, reject });
    const payload = encodeHeaders(headers);
    this.#send(frameType.headers, { stream, flags: frameFlag.endHeaders, payload });
    this.#window -= body.length;
    for (let at = 0; at === 0 || at < body.length; at += framePayloadMax) {
      const piece = body.subarray(at, at + framePayloadMax);
      const flags = at + framePayloadMax >= body.length ? frameFlag.endStream : 0;
      this.#send(frameType.data, { stream, flags, payload: piece });
    }
    const cancel = (fault: Fault) => {
      if (!this.#waiting.delete(stream)) return;
      this.#send(frameType.reset, { stream, payload: number32(errorCancel) });
      reject(fault);
    };
    return { reply, cancel };
  }

  close(): void {
    this.#fail(new Fault("canceled", "the connection is closed"));
    this.#socket.destroy();
  }

  #send(type: number, { stream = 0, flags = 0, payload = nothing }: Partial<Frame>): void {
    if (!this.#socket.destroyed) this.#socket.write(encodeFrame({ type, flags, stream, payload }));
  }

  #onData(piece: Buffer): void {
    try {
      for (const frame of this.#cutter.push(piece)) this.#take(frame);
    } catch (thrown) {
      this.#fail(Fault.from(thrown));
      this.#socket.destroy();
    }
  }

  #take(frame: Frame): void {
    const { type, flags, stream, payload } = frame;
    if (this.#block !== undefined && type !== frameType.continuation) {
      throw new Fault("internal", "a header of HTTP/2 does not end");
    }
    switch (type) {
      case frameType.data:
        this.#takeData(frame);
        break;
      case frameType.headers:
        this.#takeBlock({ first: frame, parts: [unpadded(frame)] }, flags);
        break;
      case frameType.continuation:
        if (this.#block === undefined) throw new Fault("internal", "a header has no beginning");
        this.#block.parts.push(payload);
        this.#takeBlock(this.#block, flags);
        break;
      case frameType.reset:
        this.#reject(stream, new Fault("unavailable", "the other side ended the call"));
        break;
      case frameType.settings:
        if ((flags & frameFlag.ack) === 0) this.#takeSettings(payload);
        break;
      case frameType.ping:
        if ((flags & frameFlag.ack) === 0) {
          this.#send(frameType.ping, { flags: frameFlag.ack, payload });
        }
        break;
      case frameType.goAway:
        // What it has not taken on it says in resets, or by closing the socket.
        this.#isOver = true;
        break;
      case frameType.windowUpdate:
        // Of streams nobody waits for more: a request that does not fit is not sent.
        if (stream === 0) this.#window += payload.readUInt32BE(0) & windowMax;
        break;
      default:
      // Unknown frames mean nothing (§4.1).
    }
  }

  #takeSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== setting.initialWindowSize) continue;
      this.#streamWindow = payload.readUInt32BE(at + 2);
    }
    this.#send(frameType.settings, { flags: frameFlag.ack });
  }

  #takeData(frame: Frame): void {
    this.#receivedBytes += frame.payload.length;
    if (this.#receivedBytes > windowMax / 2) {
      this.#send(frameType.windowUpdate, { payload: number32(this.#receivedBytes) });
      this.#receivedBytes = 0;
    }
    const waiting = this.#waiting.get(frame.stream);
    if (waiting === undefined) return;
    const data = unpadded({ ...frame, flags: frame.flags & frameFlag.padded });
    waiting.body.push(data);
    waiting.bodyBytes += data.length;
    if (waiting.bodyBytes > this.#bodyBytesMax) {
      const message = `a reply is larger than the ${this.#bodyBytesMax} bytes that are taken`;
      throw new Fault("resource-exhausted", message);
    }
    if ((frame.flags & frameFlag.endStream) !== 0) this.#finish(frame.stream);
  }

  #takeBlock(block: { readonly first: Frame; readonly parts: Buffer[] }, flags: number): void {
    this.#block = block;
    if ((flags & frameFlag.endHeaders) === 0) return;
    this.#block = undefined;
    const { stream, flags: firstFlags } = block.first;
    const fields = decodeHeaders(Buffer.concat(block.parts));
    for (const [name, value] of fields) this.#waiting.get(stream)?.headers.set(name, value);
    if ((firstFlags & frameFlag.endStream) !== 0) this.#finish(stream);
  }

  #finish(stream: number): void {
    const waiting = this.#waiting.get(stream);
    this.#waiting.delete(stream);
    waiting?.resolve({ headers: waiting.headers, body: Buffer.concat(waiting.body) });
  }

  #reject(stream: number, fault: Fault): void {
    const waiting = this.#waiting.get(stream);
    this.#waiting.delete(stream);
    waiting?.reject(fault);
  }

  #fail(fault: Fault): void {
    this.#isOver = true;
    for (const stream of this.#waiting.keys()) this.#reject(stream, fault);
  }
}

const nothing = Buffer.alloc(0);

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function settings(values: readonly (readonly [key: number, value: number])[]): Buffer {
  const bytes = Buffer.alloc(values.length * 6);
  for (const [index, [key, value]] of values.entries()) {
    bytes.writeUInt16BE(key, index * 6);
    bytes.writeUInt32BE(value, index * 6 + 2);
  }
  return bytes;
}
