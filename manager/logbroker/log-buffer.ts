/** Lines on their way from nodes to one reader. Bounded: who adds waits while the reader is behind. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type LogMessage,
  type SubscribeLogsResponse,
  SubscribeLogsResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";

/** What may wait for the reader; a single message may exceed it. */
const bufferBytesMax = 1024 * 1024;

export class LogBuffer implements Disposable {
  #messages: LogMessage[] = [];
  #warnings: string[] = [];
  #sizeBytes = 0;
  #state: "open" | "ended" | "closed" = "open";
  /** Replaced whenever something changes; resolving it wakes all who wait for any change. */
  #change = Promise.withResolvers<void>();

  /** Resolves when the messages are in; waits for room first. */
  async add(messages: readonly LogMessage[]): Promise<void> {
    while (this.#sizeBytes >= bufferBytesMax && this.#state === "open") await this.#change.promise;
    if (this.#state !== "open") throw new Fault("not-found", "nobody reads this log any more");
    for (const message of messages) {
      this.#messages.push(message);
      this.#sizeBytes += message.data.length;
    }
    this.#changed();
  }

  warn(warning: string): void {
    this.#warnings.push(warning);
    this.#changed();
  }

  /** Nothing more comes; what is there will still be read. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#changed();
  }

  async *read(signal: AbortSignal): AsyncIterable<SubscribeLogsResponse> {
    const onAbort = () => this.#changed();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        if (this.#messages.length > 0 || this.#warnings.length > 0) yield this.#take();
        else if (this.#state === "open") await this.#change.promise;
        else return;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The reader went away: who waits to add is told so. */
  [Symbol.dispose](): void {
    this.#state = "closed";
    this.#changed();
  }

  #take(): SubscribeLogsResponse {
    const response = create(SubscribeLogsResponseSchema, {
      messages: this.#messages,
      warnings: this.#warnings,
    });
    this.#messages = [];
    this.#warnings = [];
    this.#sizeBytes = 0;
    this.#changed();
    return response;
  }

  #changed(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }
}
