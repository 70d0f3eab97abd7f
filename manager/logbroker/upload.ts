/** A wish for some tasks' logs that one node is to answer, once: what it is sent and what became of it. */
import type { LogSubscription } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock } from "#proto/ports.ts";

export interface UploadOptions {
  readonly nodeId: string;
  readonly wish: LogSubscription;
  readonly answerMs: number;
}

export class Upload {
  readonly nodeId: string;
  readonly wish: LogSubscription;
  readonly #answerMs: number;
  readonly #clock: Clock;
  readonly #onSilence: () => void;
  #deadline: Disposable | undefined;

  constructor(options: UploadOptions, modules: { clock: Clock; onSilence: () => void }) {
    this.nodeId = options.nodeId;
    this.wish = options.wish;
    this.#answerMs = options.answerMs;
    this.#clock = modules.clock;
    this.#onSilence = modules.onSilence;
    this.expectAnswer();
  }

  expectAnswer(): void {
    this.onAnswer();
    this.#deadline = this.#clock.timer(this.#answerMs, this.#onSilence);
  }

  onAnswer(): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = undefined;
  }
}
