/**
 * One asker's TCP connection (RFC 7766): questions may come in one piece, and each is answered as soon as its answer is
 * there. So many are under way at a time, and who does not read answers is not read from either.
 */
import type { Socket } from "node:net";
import type { Clock } from "#proto/ports.ts";
import { StreamReader, streamMessage } from "./stream.ts";

export interface ConnectionModules {
  /** Never rejects for what is in the bytes; undefined: no reply. */
  readonly answer: (bytes: Buffer) => Buffer | undefined | Promise<Buffer | undefined>;
  readonly clock: Clock;
}

const underWayMax = 16;
/** Without a question that comes or an answer that goes. */
const idleMs = 10_000;

export function serveConnection(socket: Socket, modules: ConnectionModules): void {
  const connection = new Connection(socket, modules);
  // It ends by "close", which comes in any case.
  socket.on("error", () => {});
  socket.on("close", () => connection[Symbol.dispose]());
  socket.on("data", (chunk) => connection.read(chunk));
  socket.on("drain", () => connection.work());
  socket.on("end", () => connection.end());
}

class Connection {
  readonly #socket: Socket;
  readonly #modules: ConnectionModules;
  readonly #reader = new StreamReader();
  #waiting: Buffer[] = [];
  #underWay = 0;
  #ended = false;
  #activeAtMs: number;
  #timer: Disposable;

  constructor(socket: Socket, modules: ConnectionModules) {
    this.#socket = socket;
    this.#modules = modules;
    this.#activeAtMs = modules.clock.monotonic();
    this.#timer = this.#lookIn(idleMs);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  read(chunk: Buffer): void {
    this.#activeAtMs = this.#modules.clock.monotonic();
    this.#waiting.push(...this.#reader.push(chunk));
    this.work();
  }

  end(): void {
    this.#ended = true;
    this.work();
  }

  /** As much as may be under way; more is not read meanwhile. */
  work(): void {
    let begun = 0;
    const free = underWayMax - this.#underWay;
    for (; begun < Math.min(free, this.#waiting.length); begun += 1) {
      if (this.#socket.writableNeedDrain) break;
      void this.#run(this.#waiting[begun]);
    }
    this.#waiting = this.#waiting.slice(begun);
    const full = this.#waiting.length > 0 || this.#socket.writableNeedDrain;
    if (full) this.#socket.pause();
    else this.#socket.resume();
    if (this.#ended && this.#waiting.length === 0 && this.#underWay === 0) this.#socket.end();
  }

  async #run(bytes: Buffer | undefined): Promise<void> {
    this.#underWay += 1;
    try {
      const reply = bytes && (await this.#modules.answer(bytes));
      if (reply === undefined || this.#socket.destroyed) return;
      this.#activeAtMs = this.#modules.clock.monotonic();
      this.#socket.write(streamMessage(reply));
    } finally {
      this.#underWay -= 1;
      this.work();
    }
  }
  /** One timer, however many questions come. */
  #lookIn(ms: number): Disposable {
    const { clock } = this.#modules;
    return clock.timer(ms, () => {
      const restMs = this.#activeAtMs + idleMs - clock.monotonic();
      if (restMs > 0) this.#timer = this.#lookIn(restMs);
      else this.#socket.destroy();
    });
  }
}
