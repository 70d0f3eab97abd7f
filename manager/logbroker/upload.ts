/**
 * The logs of one reader's tasks on one node. Asks where the node's session is, at this manager or another; when that
 * breaks off, or the node goes to another manager, asks again for what has not come yet.
 *
 * Invariant: an upload ends exactly once, by the node's own word, or with what is wrong with the node.
 */
import { create } from "@bufbuild/protobuf";
import type { LogMessage, LogOptions } from "#proto/gen/swarm/v1/control_pb.ts";
import { type LogSubscription, LogSubscriptionSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Clock, Random } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { LogProgress } from "./log-progress.ts";
import type { Answer } from "./wishes.ts";

/** Before the same manager is asked again. */
const retryMs = 500;

export interface UploadOptions {
  readonly nodeId: string;
  readonly taskIds: readonly string[];
  readonly options: LogOptions | undefined;
  /** How long the node may take to answer. */
  readonly answerMs: number;
}

/** Who holds a node's session, and which. */
export interface SessionPlace {
  readonly sessionId: string;
  readonly managerId: string;
}

export interface UploadModules {
  readonly clock: Clock;
  readonly random: Random;
  readonly placeOf: (nodeId: string) => SessionPlace;
  /** Asks the manager that holds the node's session. Disposed, the wish is withdrawn. */
  readonly ask: (
    question: { readonly nodeId: string; readonly managerId: string },
    subscription: LogSubscription,
    answer: Answer,
  ) => Disposable;
  /** Resolves when there is room for more. */
  readonly onMessages: (messages: readonly LogMessage[]) => Promise<void>;
  /** What the reader should know while nothing comes. */
  readonly onPause: (problem: string) => void;
  /** `problem`: what is wrong with the node; empty: nothing. */
  readonly onEnd: (problem: string) => void;
}

export class Upload implements Disposable {
  readonly nodeId: string;
  readonly #answerMs: number;
  readonly #modules: UploadModules;
  readonly #progress: LogProgress;
  /** Tasks whose node has not said its last word. */
  readonly #open: Set<string>;
  readonly #errors: string[] = [];
  readonly #follow: boolean;
  #isDown = false;
  #asked: (SessionPlace & { readonly wishes: DisposableStack }) | undefined;
  #deadline: Disposable | undefined;
  #retry: Disposable | undefined;
  #over = false;

  constructor(options: UploadOptions, modules: UploadModules) {
    this.nodeId = options.nodeId;
    this.#answerMs = options.answerMs;
    this.#follow = options.options?.follow === true;
    this.#modules = modules;
    this.#open = new Set(options.taskIds);
    const askedAt = timestampFromMs(modules.clock.now());
    this.#progress = new LogProgress(options.options, askedAt);
  }

  begin(): void {
    this.#expectAnswer(`did not answer within ${this.#answerMs / 1000} s`);
    this.#ask();
  }

  /** The node was changed: its session may be another, perhaps elsewhere. */
  onNode(): void {
    if (this.#over) return;
    const { sessionId, managerId } = this.#modules.placeOf(this.nodeId);
    const isSame = sessionId === this.#asked?.sessionId && managerId === this.#asked.managerId;
    if (isSame && !this.#isDown) return;
    this.#isDown = false;
    this.#expectAnswer("stopped sending");
    this.#ask();
  }

  /** The node is down. Who follows waits for it to come back, and gets then what was written meanwhile. */
  onDown(): void {
    if (!this.#follow) return this.end("is down");
    if (this.#over || this.#isDown) return;
    this.#isDown = true;
    this.#stopWaiting();
    this.#retry?.[Symbol.dispose]();
    this.#asked?.wishes[Symbol.dispose]();
    this.#modules.onPause("is down: its lines follow when it is back");
  }

  /** Ends it, if it has not ended. */
  end(problem: string): void {
    if (this.#over) return;
    this[Symbol.dispose]();
    this.#modules.onEnd(problem);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#deadline?.[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    this.#asked?.wishes[Symbol.dispose]();
  }

  #ask(): void {
    this.#retry?.[Symbol.dispose]();
    this.#asked?.wishes[Symbol.dispose]();
    const place = this.#modules.placeOf(this.nodeId);
    const wishes = new DisposableStack();
    this.#asked = { ...place, wishes };
    const question = { nodeId: this.nodeId, managerId: place.managerId };
    for (const { taskIds, options } of this.#progress.parts([...this.#open])) {
      const subscription = create(LogSubscriptionSchema, {
        id: newId(this.#modules.random),
        taskIds: [...taskIds],
        ...(options === undefined ? {} : { options }),
      });
      const answer = this.#answer(taskIds, wishes);
      wishes.use(this.#modules.ask(question, subscription, answer));
    }
  }

  /** Hears of one wish, as long as nothing was asked anew. */
  #answer(taskIds: readonly string[], wishes: DisposableStack): Answer {
    const isOver = () => this.#over || this.#asked?.wishes !== wishes;
    return {
      onAnswer: () => {
        if (!isOver()) this.#stopWaiting();
      },
      onNoAnswer: () => {
        if (!isOver()) this.#expectAnswer(`did not answer within ${this.#answerMs / 1000} s`);
      },
      onMessages: async (messages) => {
        if (isOver()) return;
        const fresh = this.#progress.take(messages);
        if (fresh.length > 0) await this.#modules.onMessages(fresh);
      },
      onClose: (err) => {
        if (!isOver()) this.#onClose(taskIds, err);
      },
      onBroken: () => {
        if (!isOver() && !this.#isDown) this.#onBroken();
      },
    };
  }

  #onClose(taskIds: readonly string[], err: string): void {
    for (const taskId of taskIds) this.#open.delete(taskId);
    if (err !== "") this.#errors.push(err);
    if (this.#open.size === 0) this.end(this.#errors.join("; "));
  }

  #onBroken(): void {
    this.#asked?.wishes[Symbol.dispose]();
    this.#expectAnswer("stopped sending");
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#modules.clock.timer(retryMs, () => this.#ask());
  }

  /** The first thing that was not answered counts. */
  #expectAnswer(problem: string): void {
    this.#deadline ??= this.#modules.clock.timer(this.#answerMs, () => this.end(problem));
  }

  #stopWaiting(): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = undefined;
  }
}
