/**
 * One asker's TCP connection (RFC 7766): questions may come in one piece, and each is answered as soon as its answer is
 * there. So many are under way at a time, and who does not read answers is not read from either.
 */
import type { Socket } from "node:net";
import { StreamReader, streamMessage } from "./stream.ts";

/** Never rejects for what is in the bytes; undefined: no reply. */
export type AnswerMessage = (bytes: Buffer) => Buffer | undefined | Promise<Buffer | undefined>;

const underWayMax = 16;
const idleMs = 10_000;

export function serveConnection(socket: Socket, answer: AnswerMessage): void {
  const connection = new Connection(socket, answer);
  // It ends by "close", which comes in any case.
  socket.on("error", () => {});
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on("data", (chunk) => connection.read(chunk));
  socket.on("drain", () => connection.work());
  socket.on("end", () => connection.end());
}

class Connection {
  readonly #socket: Socket;
  readonly #answer: AnswerMessage;
  readonly #reader = new StreamReader();
  #waiting: Buffer[] = [];
  #underWay = 0;
  #ended = false;

  constructor(socket: Socket, answer: AnswerMessage) {
    this.#socket = socket;
    this.#answer = answer;
  }

  read(chunk: Buffer): void {
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
      const reply = bytes && (await this.#answer(bytes));
      if (reply !== undefined && !this.#socket.destroyed) this.#socket.write(streamMessage(reply));
    } finally {
      this.#underWay -= 1;
      this.work();
    }
  }
}
