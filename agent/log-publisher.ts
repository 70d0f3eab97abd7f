/** Answers the managers' wishes for logs: one upload for each subscription, ended when the wish or the session ends. */
import type { LogMessage, LogOptions } from "#proto/gen/swarm/v1/control_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { LogBrokerService, LogSubscription } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Log } from "#proto/ports.ts";

/** Reads one task's log, some lines at a time; ends by itself unless it follows. */
export type ReadLogs = (
  taskId: string,
  options: LogOptions | undefined,
  signal: AbortSignal,
) => AsyncIterable<readonly LogMessage[]>;

export class LogPublisher {
  readonly #running = new Map<string, AbortController>();
  readonly #readLogs: ReadLogs;
  readonly #log: Log;

  constructor(modules: { readLogs: ReadLogs; log: Log }) {
    this.#readLogs = modules.readLogs;
    this.#log = modules.log;
  }

  /** Starts what is newly wished for through `broker`, and ends what is not wished for any more. */
  apply(
    wanted: ReadonlyMap<string, LogSubscription>,
    broker: Client<typeof LogBrokerService>,
  ): void {
    for (const id of this.#running.keys()) {
      if (!wanted.has(id)) this.#end(id, "nobody reads any more");
    }
    for (const subscription of wanted.values()) {
      if (!this.#running.has(subscription.id)) void this.#publish(subscription, broker);
    }
  }

  /** Ends all uploads: the session that carried them is gone. */
  stop(): void {
    for (const id of this.#running.keys()) this.#end(id, "the session has ended");
  }

  /** Forgotten at once: the same wish may come again, in the next session, before this upload has come to its end. */
  #end(id: string, why: string): void {
    this.#running.get(id)?.abort(new Fault("canceled", why));
    this.#running.delete(id);
  }

  async #publish(
    subscription: LogSubscription,
    broker: Client<typeof LogBrokerService>,
  ): Promise<void> {
    const controller = new AbortController();
    this.#running.set(subscription.id, controller);
    const { signal } = controller;
    try {
      // An upload that follows lasts as long as its reader.
      await broker.publishLogs(this.#requests(subscription, signal), { signal });
    } catch (thrown) {
      if (!signal.aborted) {
        this.#log.warn("an upload of logs ended early", { error: Fault.from(thrown).message });
      }
    } finally {
      controller.abort(new Fault("canceled", "the upload has ended"));
      if (this.#running.get(subscription.id) === controller) this.#running.delete(subscription.id);
    }
  }

  async *#requests({ id, taskIds, options }: LogSubscription, signal: AbortSignal) {
    // Those of many tasks may be the same.
    const errors = new Set<string>();
    const logs = taskIds.map((taskId) =>
      untilFault(this.#readLogs(taskId, options, signal), (fault) => errors.add(fault.message)),
    );
    for await (const some of merge(logs)) yield { subscriptionId: id, messages: [...some] };
    yield { subscriptionId: id, close: true, err: [...errors].join("; ") };
  }
}

/** One log that cannot be read must not end the others. */
async function* untilFault<T>(
  items: AsyncIterable<T>,
  onFault: (fault: Fault) => void,
): AsyncGenerator<T, void, undefined> {
  try {
    yield* items;
  } catch (thrown) {
    onFault(Fault.from(thrown));
  }
}

/**
 * The items of several iterables as they come; one reader for each, none read ahead of the consumer by more than one. The
 * first fault ends all.
 *
 * Each step announces itself. Racing the pending steps instead would hang one more reaction on the silent ones with every
 * item of the talkative, for as long as the log is followed.
 */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void> {
  const arrived: Step<T>[] = [];
  let wake = () => {};
  const arrive = (step: Step<T>) => {
    arrived.push(step);
    wake();
  };
  const advance = (iterator: AsyncIterator<T>) => {
    iterator.next().then(
      (result) => arrive({ iterator, result }),
      (fault: unknown) => arrive({ iterator, fault }),
    );
  };
  const open = new Set(sources.map((source) => source[Symbol.asyncIterator]()));
  try {
    for (const iterator of open) advance(iterator);
    while (open.size > 0) {
      const step = arrived.shift();
      if (step === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      const { iterator, result } = step;
      if (result === undefined) throw step.fault;
      if (result.done === true) open.delete(iterator);
      else {
        yield result.value;
        advance(iterator);
      }
    }
  } finally {
    await Promise.allSettled([...open].map(async (iterator) => await iterator.return?.()));
  }
}

interface Step<T> {
  readonly iterator: AsyncIterator<T>;
  /** None: it failed. */
  readonly result?: IteratorResult<T>;
  readonly fault?: unknown;
}
