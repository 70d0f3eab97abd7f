/** The main thread's end of the log's worker: requests become promises. Knows nothing of what they mean. */
import { Worker } from "node:worker_threads";
import { Fault } from "#proto/fault.ts";
import { locked } from "./data-key.ts";
import {
  type Answers,
  blocksOf,
  type LogReply,
  type LogRequest,
  type RequestKind,
} from "./log-messages.ts";

interface Waiter {
  resolve(answer: Answers[RequestKind]): void;
  reject(fault: Fault): void;
}

/** A failure that leaves the file in doubt ends it: nothing is written before the file was opened anew. */
export class LogThread implements AsyncDisposable {
  /** Resolves when the thread or the file cannot go on. */
  readonly failed: Promise<Fault>;
  readonly #worker: Worker;
  readonly #waiting: Waiter[] = [];
  readonly #fail: (fault: Fault) => void;
  #failure: Fault | undefined;
  #closed = false;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Fault>();
    this.failed = promise;
    this.#fail = resolve;
    this.#worker = new Worker(new URL(import.meta.resolve("#manager/log/log-worker.ts")));
    this.#worker.on("message", (reply: LogReply) => this.#onReply(reply));
    this.#worker.on("error", (error) => this.#onEnd(Fault.wrap("the log's thread died", error)));
    this.#worker.on("exit", () => this.#onEnd(new Fault("unavailable", "the log is closed")));
  }

  /** The request's blocks of memory are handed over to the thread. */
  async request<K extends RequestKind>(
    request: Extract<LogRequest, { kind: K }>,
  ): Promise<Answers[K]> {
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<Answers[RequestKind]>();
    this.#waiting.push({ resolve, reject });
    this.#worker.postMessage(request, blocksOf(request));
    return (await promise) as Answers[K];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#failure === undefined) await this.request<"close">({ kind: "close" });
    } finally {
      await this.#worker.terminate();
    }
  }

  #onReply(reply: LogReply): void {
    const waiter = this.#waiting.shift();
    if (reply.ok) {
      waiter?.resolve(reply.answer);
      return;
    }
    const fault = reply.locked ? locked(reply.message) : new Fault(reply.code, reply.message);
    waiter?.reject(fault);
    if (reply.fatal) this.#onEnd(fault);
  }

  #onEnd(fault: Fault): void {
    this.#failure ??= fault;
    if (!this.#closed) this.#fail(this.#failure);
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#failure);
  }
}
