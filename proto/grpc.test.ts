/** Typed gRPC over a real unix socket. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { codes, Fault } from "./fault.ts";
import { DispatcherService, LogBrokerService } from "./gen/swarm/v1/dispatcher_pb.ts";
import {
  addService,
  type CallContext,
  Connection,
  type Handlers,
  messageBytesMax,
} from "./grpc.ts";
import { TestServer } from "./testing/test-server.ts";

const timeout = 15_000;

const unserved = async () => {
  throw new Fault("unimplemented", "not part of this test");
};

const nothingServed: Handlers<typeof DispatcherService> = {
  // oxlint-disable-next-line require-yield -- a stream that only fails
  async *session() {
    await unserved();
  },
  heartbeat: unserved,
  updateTaskStatus: unserved,
  findImagePeers: unserved,
  farewell: unserved,
  // oxlint-disable-next-line require-yield -- a stream that only fails
  async *assignments() {
    await unserved();
  },
};

async function serve(
  dispatcher: Partial<Handlers<typeof DispatcherService>>,
  logBroker: Handlers<typeof LogBrokerService> = { publishLogs: unserved },
) {
  const server = await TestServer.serve((server) => {
    addService(server, DispatcherService, { ...nothingServed, ...dispatcher });
    addService(server, LogBrokerService, logBroker);
  });
  return {
    dispatcher: server.connection.service(DispatcherService),
    logBroker: server.connection.service(LogBrokerService),
    shutDown: () => server.shutDown(),
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
}

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert(thrown instanceof Fault, `a Fault, not ${String(thrown)}`);
  return thrown;
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** Never gives anything; remembers that it was told to end. */
class Parked implements AsyncIterableIterator<never> {
  readonly ended = Promise.withResolvers<void>();
  readonly #never = Promise.withResolvers<IteratorResult<never>>();

  next(): Promise<IteratorResult<never>> {
    return this.#never.promise;
  }

  return(): Promise<IteratorResult<never>> {
    this.ended.resolve();
    const result = { done: true as const, value: undefined };
    this.#never.resolve(result);
    return Promise.resolve(result);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const aborted = (signal: AbortSignal) =>
  signal.aborted ? Promise.resolve() : once(signal, "abort").then(() => undefined);

test("unary, carries the request, the metadata and the reply", { timeout }, async () => {
  let seen: CallContext | undefined;
  using server = await serve({
    heartbeat: async ({ sessionId }, context) => {
      seen = context;
      assert.equal(sessionId, "s1");
      return { period: { seconds: 3n, nanos: 0 } };
    },
  });
  const { period } = await server.dispatcher.heartbeat({ sessionId: "s1" });
  assert.equal(period?.seconds, 3n);
  assert.equal(seen?.metadata.get("who"), "me");
  assert.equal(typeof seen?.peer, "string");
});

test("every code of a Fault crosses the wire, in unary calls and streams", {
  timeout,
}, async () => {
  const thrown = ({ sessionId }: { sessionId: string }) => {
    const code = codes.find((known) => known === sessionId);
    assert(code !== undefined);
    return new Fault(code, `Cannot do "${code}": größer, ${"x".repeat(10)}`);
  };
  using server = await serve(
    {
      heartbeat: async (request) => {
        throw thrown(request);
      },
      // oxlint-disable-next-line require-yield -- a stream that only fails
      async *assignments(request) {
        throw thrown(request);
      },
    },
    {
      publishLogs: async (requests) => {
        for await (const { subscriptionId } of requests)
          throw thrown({ sessionId: subscriptionId });
        return {};
      },
    },
  );
  async function* one(subscriptionId: string) {
    yield { subscriptionId };
  }
  for (const code of codes) {
    const faults = [
      await faultOf(server.dispatcher.heartbeat({ sessionId: code })),
      await faultOf(collect(server.dispatcher.assignments({ sessionId: code }))),
      await faultOf(server.logBroker.publishLogs(one(code))),
    ];
    for (const fault of faults) {
      assert.equal(fault.code, code);
      assert.equal(fault.message, `Cannot do "${code}": größer, xxxxxxxxxx`);
    }
  }
});

test("a handler that throws at once, or something strange, answers with a fault", {
  timeout,
}, async () => {
  using server = await serve({
    heartbeat: () => {
      throw new Fault("conflict", "at once");
    },
    updateTaskStatus: async () => {
      throw new TypeError("x is not a function");
    },
    assignments: () => {
      throw new Fault("not-found", "no stream");
    },
  });
  const { dispatcher } = server;
  assert.equal((await faultOf(dispatcher.heartbeat({}))).message, "at once");
  const bug = await faultOf(dispatcher.updateTaskStatus({}));
  assert.equal(`${bug.code}: ${bug.message}`, "internal: x is not a function");
  assert.equal((await faultOf(collect(dispatcher.assignments({})))).code, "not-found");
});

test("a fault whose words no header can carry crosses the wire", { timeout }, async () => {
  const messages: Readonly<Record<string, string>> = {
    half: "half a character: \ud83d",
    long: "ü".repeat(1_000_000),
    lines: "two\r\nlines\0and 100 %",
  };
  using server = await serve({
    heartbeat: async ({ sessionId }) => {
      throw new Fault("not-found", messages[sessionId] ?? "");
    },
  });
  const said = async (sessionId: string) => {
    const fault = await faultOf(server.dispatcher.heartbeat({ sessionId }));
    assert.equal(fault.code, "not-found");
    return fault.message;
  };
  assert.equal(await said("half"), "half a character: \ufffd");
  assert.equal(await said("long"), "ü".repeat(4096));
  assert.equal(await said("lines"), messages["lines"]);
});

test("unary, ends at its deadline on both sides", { timeout }, async () => {
  const freed = Promise.withResolvers<void>();
  using server = await serve({
    heartbeat: async (_request, { signal }) => {
      await aborted(signal);
      freed.resolve();
      return {};
    },
  });
  const fault = await faultOf(server.dispatcher.heartbeat({}, { deadlineMs: 100 }));
  assert.equal(fault.code, "deadline-exceeded");
  assert.match(fault.message, /^there was no answer within 0\.\d s$/);
  await freed.promise;
});

test("unary, an abort frees the caller and the handler", { timeout }, async () => {
  const entered = Promise.withResolvers<void>();
  const freed = Promise.withResolvers<void>();
  using server = await serve({
    heartbeat: async (_request, { signal }) => {
      entered.resolve();
      await aborted(signal);
      freed.resolve();
      return {};
    },
  });
  const abort = new AbortController();
  const call = faultOf(server.dispatcher.heartbeat({}, { signal: abort.signal }));
  await entered.promise;
  abort.abort();
  assert.equal((await call).code, "canceled");
  await freed.promise;
  const early = await faultOf(server.dispatcher.heartbeat({}, { signal: abort.signal }));
  assert.equal(early.code, "canceled");
});

test("server stream, gives all messages in order and then ends", { timeout }, async () => {
  using server = await serve({
    async *assignments() {
      for (let i = 0; i < 1000; i++) yield { resultsIn: String(i) };
    },
  });
  const messages = await collect(server.dispatcher.assignments({}));
  assert.deepEqual(
    messages.map(({ resultsIn }) => resultsIn),
    Array.from({ length: 1000 }, (_, i) => String(i)),
  );
});

test("server stream, an abort frees the caller and the handler", { timeout }, async () => {
  const returned = Promise.withResolvers<void>();
  using server = await serve({
    async *assignments(_request, { signal }) {
      try {
        yield { resultsIn: "first" };
        await aborted(signal);
      } finally {
        returned.resolve();
      }
    },
  });
  const abort = new AbortController();
  const stream = server.dispatcher.assignments({}, { signal: abort.signal });
  const messages = stream[Symbol.asyncIterator]();
  await messages.next();
  const rest = faultOf(messages.next());
  abort.abort();
  assert.equal((await rest).code, "canceled");
  await returned.promise;
});

test("server stream, a source that waits for ever is told when the client leaves", {
  timeout,
}, async () => {
  const entered = Promise.withResolvers<void>();
  const source = new Parked();
  using server = await serve({
    assignments: () => {
      entered.resolve();
      return source;
    },
  });
  const abort = new AbortController();
  const call = faultOf(collect(server.dispatcher.assignments({}, { signal: abort.signal })));
  await entered.promise;
  abort.abort();
  await call;
  await source.ended.promise;
});

test("server stream, a reader that stops half-way ends the handler", { timeout }, async () => {
  const returned = Promise.withResolvers<void>();
  using server = await serve({
    async *assignments() {
      try {
        for (let i = 0; ; i++) yield { resultsIn: String(i) };
      } finally {
        returned.resolve();
      }
    },
  });
  for await (const { resultsIn } of server.dispatcher.assignments({})) {
    if (resultsIn === "5") break;
  }
  await returned.promise;
});

test("server stream, the handler waits while the reader does", { timeout }, async () => {
  let given = 0;
  using server = await serve({
    async *assignments() {
      const appliesTo = "x".repeat(64 * 1024);
      for (; given < 10_000; given++) yield { appliesTo };
    },
  });
  const stream = server.dispatcher.assignments({})[Symbol.asyncIterator]();
  await stream.next();
  let before = -1;
  // Until nothing moves for a while: what fits into the buffers on the way.
  for (let still = 0; still < 200; still = given === before ? still + 1 : 0) {
    before = given;
    await turn();
  }
  assert(given < 1000, `${given} messages of 64 KiB were made for a reader that took one`);
  await stream.return?.();
});

test("client stream, carries all messages and the reply", { timeout }, async () => {
  let last = "";
  using server = await serve(
    {},
    {
      publishLogs: async (requests) => {
        const all = await collect(requests);
        last = `${all.length} ${all.at(-1)?.subscriptionId}`;
        return {};
      },
    },
  );
  async function* requests() {
    for (let i = 0; i < 500; i++) yield { subscriptionId: String(i) };
  }
  await server.logBroker.publishLogs(requests());
  assert.equal(last, "500 499");
});

test("client stream, an answer before the end tells the source to end", { timeout }, async () => {
  using server = await serve({}, { publishLogs: async () => ({}) });
  const source = new Parked();
  await server.logBroker.publishLogs(source);
  await source.ended.promise;
  const returned = Promise.withResolvers<void>();
  async function* endless() {
    try {
      const data = Buffer.alloc(10_000);
      for (;;) yield { messages: [{ data }] };
    } finally {
      returned.resolve();
    }
  }
  await server.logBroker.publishLogs(endless());
  await returned.promise;
});

test("client stream, a source that fails fails the call and frees the handler", {
  timeout,
}, async () => {
  const entered = Promise.withResolvers<void>();
  const freed = Promise.withResolvers<void>();
  using server = await serve(
    {},
    {
      publishLogs: async (requests, { signal }) => {
        entered.resolve();
        // Ends or fails: see Handlers.
        await collect(requests).catch(() => undefined);
        await aborted(signal);
        freed.resolve();
        return {};
      },
    },
  );
  async function* requests() {
    yield { subscriptionId: "1" };
    await entered.promise;
    throw new Fault("data-loss", "half a line");
  }
  const fault = await faultOf(server.logBroker.publishLogs(requests()));
  assert.equal(`${fault.code}: ${fault.message}`, "data-loss: half a line");
  await freed.promise;
});

test("client stream, an abort ends the call, the source and the handler", {
  timeout,
}, async () => {
  const entered = Promise.withResolvers<void>();
  const freed = Promise.withResolvers<void>();
  using server = await serve(
    {},
    {
      publishLogs: async (_requests, { signal }) => {
        entered.resolve();
        await aborted(signal);
        freed.resolve();
        return {};
      },
    },
  );
  const abort = new AbortController();
  const source = new Parked();
  const call = faultOf(server.logBroker.publishLogs(source, { signal: abort.signal }));
  await entered.promise;
  abort.abort();
  assert.equal((await call).code, "canceled");
  await Promise.all([freed.promise, source.ended.promise]);
});

test("a message over the limit is refused with a clear fault", { timeout }, async () => {
  const big = "x".repeat(messageBytesMax + 1);
  using server = await serve({
    heartbeat: async () => ({}),
    async *session() {
      yield { sessionId: big };
    },
    async *assignments() {
      yield { resultsIn: "small" };
      yield { resultsIn: big };
    },
  });
  const { dispatcher } = server;
  const calls = [
    dispatcher.heartbeat({ sessionId: big }),
    collect(dispatcher.session({})),
    collect(dispatcher.assignments({})),
  ];
  for (const call of calls) {
    const fault = await faultOf(call);
    assert.equal(fault.code, "resource-exhausted");
    assert.match(fault.message, /larger than/);
  }
  await dispatcher.heartbeat({ sessionId: "x".repeat(messageBytesMax - 100) });
});

test("a server that is shut down in the middle ends streams and calls with a fault", {
  timeout,
}, async () => {
  const entered = Promise.withResolvers<void>();
  const freed = Promise.withResolvers<void>();
  using server = await serve({
    async *assignments(_request, { signal }) {
      yield {};
      await aborted(signal);
      freed.resolve();
    },
    heartbeat: async (_request, { signal }) => {
      entered.resolve();
      await aborted(signal);
      return {};
    },
  });
  const messages = server.dispatcher.assignments({})[Symbol.asyncIterator]();
  await messages.next();
  const rest = faultOf(Promise.resolve(messages.next()));
  const call = faultOf(server.dispatcher.heartbeat({}));
  await entered.promise;
  server.shutDown();
  assert.equal((await rest).code, "unavailable");
  assert.equal((await call).code, "unavailable");
  await freed.promise;
});

test("nobody listening is told in one line", { timeout }, async () => {
  using connection = new Connection("127.0.0.1:1");
  const fault = await faultOf(connection.service(DispatcherService).heartbeat({}));
  assert.equal(fault.code, "unavailable");
  assert.equal(fault.message, "connect ECONNREFUSED 127.0.0.1:1");
});

test("a server that speaks something else is a fault", { timeout }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "swarm-grpc-"));
  const path = join(folder, "socket");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  try {
    using connection = new Connection(`unix:${path}`);
    const fault = await faultOf(
      connection.service(DispatcherService).heartbeat({}, { deadlineMs: 500 }),
    );
    assert(fault.code === "unavailable" || fault.code === "deadline-exceeded", fault.message);
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
