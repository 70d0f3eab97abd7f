import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { LogMessageSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  LogBrokerService,
  type LogSubscription,
  LogSubscriptionSchema,
  type PublishLogsRequest,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { addService } from "#proto/grpc.ts";
import { silentLog } from "#proto/system-ports.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { LogPublisher, merge, type ReadLogs } from "./log-publisher.ts";

const timeout = 15_000;

async function* items<T>(...values: T[]): AsyncGenerator<T> {
  for (const value of values) {
    await turn();
    yield value;
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
}

/** Gives what it is fed, until it is told to return. */
class Fed<T> implements AsyncIterableIterator<T> {
  returned = false;
  pulled = 0;
  #waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;

  next(): Promise<IteratorResult<T>> {
    this.pulled++;
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  feed(value: T): void {
    this.#waiting?.resolve({ done: false, value });
  }

  return(): Promise<IteratorResult<T>> {
    this.returned = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

test("merge, gives everything, each source in its order", async () => {
  const lists = fc.array(fc.array(fc.nat()), { maxLength: 5 });
  const property = fc.asyncProperty(lists, async (lists) => {
    const sources = lists.map((list, of) => items(...list.map((value) => ({ of, value }))));
    const all = await collect(merge(sources));
    for (const [index, list] of lists.entries()) {
      const mine = all.filter(({ of }) => of === index).map(({ value }) => value);
      assert.deepEqual(mine, list);
    }
  });
  await fc.assert(property, { numRuns: 50 });
});

test("merge, a silent source delays nobody, and none is read ahead of the reader", async () => {
  const silent = new Fed<string>();
  const talkative = new Fed<string>();
  const merged = merge([silent, talkative]);
  for (let i = 0; i < 5; i++) {
    const next = merged.next();
    await turn();
    talkative.feed(`line ${i}`);
    assert.equal((await next).value, `line ${i}`);
    await turn();
    assert.equal(talkative.pulled, i + 1);
  }
  await merged.return();
  assert(silent.returned && talkative.returned);
});

test("merge, asks a silent source once, however much another says", async (t) => {
  const race = t.mock.method(Promise, "race");
  const silent = new Fed<number>();
  let seen = 0;
  for await (const _item of merge([silent, items(...Array.from({ length: 500 }, (_, i) => i))])) {
    if (++seen === 500) break;
  }
  assert.equal(silent.pulled, 1);
  assert.equal(race.mock.callCount(), 0, "each race leaves a reaction on the silent promise");
});

test("merge, a source that fails ends the others", async () => {
  const silent = new Fed<string>();
  async function* failing() {
    yield "one";
    throw new Fault("data-loss", "half a line");
  }
  await assert.rejects(collect(merge([silent, failing()])), { message: "half a line" });
  assert(silent.returned);
});

interface Upload {
  readonly requests: PublishLogsRequest[];
  readonly end: Promise<unknown>;
}

class Ground implements Disposable {
  readonly uploads: Upload[] = [];
  readonly warnings: string[] = [];
  readonly publisher: LogPublisher;
  #server: TestServer | undefined;

  constructor(readLogs: ReadLogs) {
    const warn = (message: string) => void this.warnings.push(message);
    this.publisher = new LogPublisher({ readLogs, log: { ...silentLog, warn } });
  }

  async apply(...wanted: LogSubscription[]): Promise<void> {
    this.#server ??= await TestServer.serve((server) => {
      addService(server, LogBrokerService, { publishLogs: (requests) => this.#receive(requests) });
    });
    const broker = this.#server.connection.service(LogBrokerService);
    this.publisher.apply(
      new Map(wanted.map((subscription) => [subscription.id, subscription])),
      broker,
    );
  }

  async #receive(stream: AsyncIterable<PublishLogsRequest>) {
    const requests: PublishLogsRequest[] = [];
    const end = (async () => {
      for await (const request of stream) requests.push(request);
    })().catch((thrown: unknown) => thrown);
    this.uploads.push({ requests, end });
    const thrown = await end;
    if (thrown !== undefined) throw Fault.from(thrown);
    return {};
  }

  [Symbol.dispose](): void {
    this.publisher.stop();
    this.#server?.[Symbol.dispose]();
  }
}

const subscription = (id: string, ...taskIds: string[]) =>
  create(LogSubscriptionSchema, { id, taskIds });

const line = (taskId: string, text: string) =>
  create(LogMessageSchema, { taskId, data: Buffer.from(text) });

/** A log that is followed: one line, then silence until the signal. */
async function* followed(taskId: string, signal: AbortSignal) {
  yield [line(taskId, "up")];
  if (!signal.aborted) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  }
}

test("log publisher, uploads the logs of all tasks and says that it is the end", {
  timeout,
}, async () => {
  using ground = new Ground((taskId) => items([line(taskId, "1")], [line(taskId, "2")]));
  await ground.apply(subscription("s", "a", "b"));
  await until(() => ground.uploads.length === 1);
  assert.equal(await ground.uploads[0]?.end, undefined);
  const requests = ground.uploads[0]?.requests ?? [];
  const lines = requests.flatMap(({ messages }) =>
    messages.map(({ taskId, data }) => taskId + Buffer.from(data)),
  );
  assert.deepEqual(lines.toSorted(), ["a1", "a2", "b1", "b2"]);
  assert.deepEqual(
    requests.map(({ close }) => close),
    [false, false, false, false, true],
  );
  assert.equal(requests.at(-1)?.err, "");
});

test("log publisher, logs that cannot be read do not end the others, and why is said once", {
  timeout,
}, async () => {
  using ground = new Ground((taskId) => {
    if (taskId === "a") return items([line("a", "1")]);
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(new Fault("failed-precondition", "nothing is kept")),
      }),
    };
  });
  await ground.apply(subscription("s", "b", "a", "c"));
  await until(() => ground.uploads.length === 1);
  await ground.uploads[0]?.end;
  const requests = ground.uploads[0]?.requests ?? [];
  assert.equal(requests.length, 2);
  assert.equal(requests[1]?.err, "nothing is kept");
});

test("log publisher, ends an upload with the wish for it", { timeout }, async () => {
  using ground = new Ground((taskId, _options, signal) => followed(taskId, signal));
  await ground.apply(subscription("s", "a"));
  await until(() => ground.uploads[0]?.requests.length === 1);
  await ground.apply(subscription("s", "a"));
  await turn();
  assert.equal(ground.uploads.length, 1, "the same wish is not a new one");
  await ground.apply();
  await ground.uploads[0]?.end;
  assert.deepEqual(ground.warnings, []);
});

test("log publisher, carries out a wish again in the next session at once", {
  timeout,
}, async () => {
  using ground = new Ground((taskId, _options, signal) => followed(taskId, signal));
  await ground.apply(subscription("s", "a"));
  await until(() => ground.uploads[0]?.requests.length === 1);
  ground.publisher.stop();
  await ground.apply(subscription("s", "a"));
  await until(() => ground.uploads[1]?.requests.length === 1);
  await ground.uploads[0]?.end;
  await ground.apply();
  await ground.uploads[1]?.end;
});
