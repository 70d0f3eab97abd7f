/**
 * One call at a server: a stream of HTTP/2, on which messages come in and go out, with a status at the end. Whatever the
 * handler still does after the call is over goes nowhere.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { CallContext } from "./call-context.ts";
import type { Caller } from "./caller.ts";
import { Fault } from "./fault.ts";
import { FrameReader } from "./grpc-frames.ts";
import { statusOf } from "./grpc-fault.ts";
import type { Clock } from "./ports.ts";

/** What all calls on one connection have in common. */
export interface ConnectionFacts {
  readonly caller: Caller;
  readonly peer: string;
  readonly messageBytesMax: number;
  readonly clock: Clock;
}

const contentType = "application/grpc";

const responseHeaders = { ":status": 200, "content-type": `${contentType}+proto` };

/** The same for all calls: its stack says nothing, and calls end often. */
const over = new Fault("canceled", "the caller went away");

/** Of HTTP's Timeout: at most 8 digits and a unit. */
const timeoutPattern = /^([0-9]{1,8})([HMSmun])$/;
const msPerUnit = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1_000],
  ["m", 1],
  ["u", 1e-3],
  ["n", 1e-6],
]);

export class ServerCall implements CallContext {
  /** For backpressure: writing is this call's own. */
  readonly stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #connection: ConnectionFacts;
  #deadline: Disposable | undefined;
  #begun = false;
  /** The status is given. */
  #over = false;
  #aborted = false;
  #controller: AbortController | undefined;
  #metadata: ReadonlyMap<string, string> | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    connection: ConnectionFacts,
  ) {
    this.stream = stream;
    this.#headers = headers;
    this.#connection = connection;
    // "close" follows, which is where the end of a call is seen.
    stream.on("error", () => {});
    stream.on("close", () => this.#onClose());
  }

  get caller(): Caller {
    return this.#connection.caller;
  }

  get peer(): string {
    return this.#connection.peer;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(over);
    }
    return this.#controller.signal;
  }

  get metadata(): ReadonlyMap<string, string> {
    this.#metadata ??= textsOf(this.#headers);
    return this.#metadata;
  }

  /** Whether it is one of gRPC; what is not is refused by HTTP's own words. */
  get isGrpc(): boolean {
    return this.#headers["content-type"]?.startsWith(contentType) === true;
  }

  refuseMediaType(): void {
    if (this.#gone) return;
    this.#over = true;
    this.stream.respond({ ":status": 415 }, { endStream: true });
    this.#takeNoMore();
  }

  /** Fails the call when the time is over that the client gives it. */
  limitTime(): void {
    const timeout = this.#headers["grpc-timeout"];
    if (timeout === undefined) return;
    const [, digits, unit = ""] = timeoutPattern.exec(String(timeout)) ?? [];
    const unitMs = msPerUnit.get(unit);
    if (unitMs === undefined) {
      throw new Fault("invalid-argument", "the call's timeout is not one");
    }
    this.#deadline = this.#connection.clock.timer(Number(digits) * unitMs, () => {
      this.fail(new Fault("deadline-exceeded", "the call's time is over"));
      // The client may hold on to it.
      this.#abort();
    });
  }

  /** The one message of a client that sends one. */
  request(): Promise<Buffer> {
    const { stream } = this;
    const reader = new FrameReader(this.#connection.messageBytesMax);
    return new Promise((resolve, reject) => {
      let request: Buffer | undefined;
      const onData = (piece: Buffer) => {
        try {
          for (const message of reader.push(piece)) {
            if (request !== undefined) throw notOne("more than one request");
            request = message;
          }
        } catch (thrown) {
          // What still comes is kept by nobody.
          stream.off("data", onData);
          reject(Fault.from(thrown));
        }
      };
      stream.on("data", onData);
      stream.on("end", () => {
        if (this.#isCutOff || this.#over) reject(over);
        else if (request === undefined || reader.partial) reject(notOne("no whole request"));
        else resolve(request);
      });
    });
  }

  /** The messages of a client that sends many. Fails where the client goes away before it has said that it is done. */
  async *requests(): AsyncIterable<Buffer> {
    const reader = new FrameReader(this.#connection.messageBytesMax);
    try {
      // Who reads no more requests may still answer: the iterator must leave the stream as it is.
      for await (const piece of this.stream.iterator({ destroyOnReturn: false })) {
        yield* reader.push(piece as Buffer);
      }
    } catch (thrown) {
      throw this.stream.aborted ? over : thrown;
    }
    if (this.#isCutOff) throw over;
    if (reader.partial) throw new Fault("invalid-argument", "the last request is not whole");
  }

  /** Says that the call is taken, before there is an answer. */
  begin(): void {
    if (this.#begun || this.#gone) return;
    this.#begun = true;
    this.stream.respond(responseHeaders, { waitForTrailers: true });
  }

  /** Sends a frame. False: the stream is full, and says "drain" when it takes more. */
  write(frame: Buffer): boolean {
    this.begin();
    return this.#gone || this.stream.write(frame);
  }

  /** Ends the call well, with a last frame where one is given. */
  end(frame?: Buffer): void {
    this.begin();
    this.#finish({ "grpc-status": "0" }, frame);
  }

  fail(fault: Fault): void {
    const { code, details } = statusOf(fault);
    const status = { "grpc-status": String(code), "grpc-message": encodeURI(details) };
    if (this.#begun) this.#finish(status);
    else if (!this.#gone) {
      this.#over = true;
      this.stream.respond({ ...responseHeaders, ...status }, { endStream: true });
      this.#takeNoMore();
    }
  }

  /** A stream that is reset ends before it is known why; what was cut off is no end. */
  get #isCutOff(): boolean {
    return this.stream.rstCode !== constants.NGHTTP2_NO_ERROR || this.stream.aborted;
  }

  /** A stream may be closed before "close" says so. */
  get #gone(): boolean {
    return this.#over || this.stream.closed || this.stream.destroyed;
  }

  #finish(trailers: Readonly<Record<string, string>>, frame?: Buffer): void {
    if (this.#gone) return;
    this.#over = true;
    this.stream.once("wantTrailers", () => {
      this.stream.sendTrailers(trailers);
      this.#takeNoMore();
    });
    if (frame === undefined) this.stream.end();
    else this.stream.end(frame);
  }

  /** What the client still sends is dropped: resetting the stream could overtake the status. */
  #takeNoMore(): void {
    this.stream.resume();
  }

  #onClose(): void {
    this.#deadline?.[Symbol.dispose]();
    this.#abort();
  }

  #abort(): void {
    this.#aborted = true;
    this.#controller?.abort(over);
  }
}

function notOne(what: string): Fault {
  return new Fault("invalid-argument", `the call has ${what}`);
}

function textsOf(headers: IncomingHttpHeaders): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string" && !name.startsWith(":")) texts.set(name, value);
  }
  return texts;
}
