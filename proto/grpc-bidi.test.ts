import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "./fault.ts";
import {
  ContainerService,
  type ForwardPortRequest,
  ForwardPortRequestSchema,
  type ForwardPortResponseSchema,
} from "./gen/swarm/v1/engine_pb.ts";
import { addService, type CallContext, type Client, type Handlers } from "./grpc.ts";
import { TestServer } from "./testing/test-server.ts";
import { until } from "./testing/until.ts";

const timeout = 30_000;

type Answer = MessageInitShape<typeof ForwardPortResponseSchema>;
type Forward = (
  requests: AsyncIterable<ForwardPortRequest>,
  context: CallContext,
) => AsyncIterable<Answer>;

async function serving(forwardPort: Forward): Promise<{
  readonly client: Client<typeof ContainerService>;
  readonly server: TestServer;
}> {
  const handlers = { forwardPort } as Handlers<typeof ContainerService>;
  const server = await TestServer.serve((grpc) => addService(grpc, ContainerService, handlers));
  return { server, client: server.connection.service(ContainerService) };
}

function requestOf(data: Uint8Array): ForwardPortRequest {
  return create(ForwardPortRequestSchema, { input: { case: "data", value: data } });
}

function dataOf({ input }: ForwardPortRequest): Uint8Array {
  assert(input.case === "data");
  return input.value;
}

async function* texts(...words: readonly string[]): AsyncIterable<ForwardPortRequest> {
  for (const word of words) yield requestOf(Buffer.from(word));
}

/** Never ends by itself; `sent` counts what was taken from it. */
function endless(sizeBytes: number) {
  const state = { sent: 0, returned: false };
  async function* source(): AsyncIterable<ForwardPortRequest> {
    try {
      for (;;) {
        state.sent += 1;
        yield requestOf(Buffer.alloc(sizeBytes));
      }
    } finally {
      state.returned = true;
    }
  }
  return { state, source: source() };
}

async function* silent(): AsyncIterable<never> {
  yield await new Promise<never>(() => {});
}

test("bidi, each answer may come before the next request", { timeout }, async () => {
  const { client, server } = await serving(async function* (requests) {
    for await (const request of requests) {
      yield { data: Buffer.from(`got ${Buffer.from(dataOf(request)).toString()}`) };
    }
    yield { data: Buffer.from("all") };
  });
  using _server = server;
  const heard: string[] = [];
  let answered = Promise.withResolvers<void>();
  const questions = async function* () {
    for (const word of ["one", "two"]) {
      yield requestOf(Buffer.from(word));
      await answered.promise;
      answered = Promise.withResolvers();
    }
  };
  for await (const { data } of client.forwardPort(questions())) {
    heard.push(Buffer.from(data).toString());
    answered.resolve();
  }
  assert.deepEqual(heard, ["got one", "got two", "all"]);
});

test("bidi, a handler may answer and end without reading what is asked", { timeout }, async () => {
  const { client, server } = await serving(async function* () {
    yield { data: Buffer.from("enough") };
  });
  using _server = server;
  const { state, source } = endless(100_000);
  const heard = await Array.fromAsync(client.forwardPort(source));
  assert.equal(heard.length, 1);
  await until(() => state.returned);
});

test("bidi, a handler that stops reading can go on to answer", { timeout }, async () => {
  const { client, server } = await serving(async function* (requests) {
    for await (const request of requests) {
      yield { data: dataOf(request) };
      break;
    }
    yield { data: Buffer.from("after") };
  });
  using _server = server;
  const heard = await Array.fromAsync(client.forwardPort(texts("one", "two")));
  assert.deepEqual(
    heard.map(({ data }) => Buffer.from(data).toString()),
    ["one", "after"],
  );
});

test("bidi, a server that reads slowly holds the client back", { timeout }, async () => {
  const go = Promise.withResolvers<void>();
  const { client, server } = await serving(async function* (requests) {
    await go.promise;
    for await (const request of requests) yield { data: dataOf(request).subarray(0, 1) };
  });
  using _server = server;
  const { state, source } = endless(256 * 1024);
  const reading = client.forwardPort(source)[Symbol.asyncIterator]();
  const first = reading.next();
  await quiet(() => state.sent);
  assert(state.sent < 64, `${state.sent} requests are held in memory`);
  go.resolve();
  assert.equal((await first).done, false);
  await reading.return?.();
  await until(() => state.returned);
});

test("bidi, a client that reads slowly holds the server back", { timeout }, async () => {
  let sent = 0;
  const { client, server } = await serving(async function* () {
    for (;;) {
      sent += 1;
      yield { data: Buffer.alloc(256 * 1024) };
    }
  });
  using _server = server;
  const reading = client.forwardPort(silent())[Symbol.asyncIterator]();
  await reading.next();
  await quiet(() => sent);
  assert(sent < 64, `${sent} answers are held in memory`);
  await reading.return?.();
});

test("bidi, a handler learns that its client is gone", { timeout }, async () => {
  const ended = Promise.withResolvers<unknown>();
  const begun = Promise.withResolvers<void>();
  const { client, server } = await serving(async function* (requests, { signal }) {
    signal.addEventListener("abort", () => ended.resolve(signal.reason));
    for await (const request of requests) {
      begun.resolve();
      yield { data: dataOf(request) };
    }
  });
  using _server = server;
  const leave = new AbortController();
  const question = async function* () {
    yield requestOf(Buffer.from("x"));
    yield* silent();
  };
  const reading = Array.fromAsync(client.forwardPort(question(), { signal: leave.signal }));
  await begun.promise;
  leave.abort();
  await assert.rejects(reading, { code: "canceled" });
  assert.equal(Fault.from(await ended.promise).code, "canceled");
});

test("bidi, a handler's Fault reaches the client, also while it sends", { timeout }, async () => {
  const { client, server } = await serving(async function* (requests) {
    for await (const request of requests) {
      yield { data: dataOf(request).subarray(0, 1) };
      throw new Fault("failed-precondition", "the task is not running");
    }
  });
  using _server = server;
  const { state, source } = endless(10_000);
  await assert.rejects(Array.fromAsync(client.forwardPort(source)), {
    code: "failed-precondition",
    message: "the task is not running",
  });
  await until(() => state.returned);
});

test("bidi, a source of requests that fails ends the call with its Fault", {
  timeout,
}, async () => {
  const begun = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const { client, server } = await serving(async function* (requests, { signal }) {
    signal.addEventListener("abort", () => gone.resolve());
    for await (const request of requests) {
      begun.resolve();
      yield { data: dataOf(request) };
    }
  });
  using _server = server;
  const broken = async function* () {
    yield requestOf(Buffer.from("x"));
    await begun.promise;
    throw new Fault("not-found", "the file is gone");
  };
  await assert.rejects(Array.fromAsync(client.forwardPort(broken())), { code: "not-found" });
  await gone.promise;
});

test("bidi, a server that vanishes is unavailable", { timeout }, async () => {
  const { client, server } = await serving(async function* (requests) {
    for await (const request of requests) yield { data: dataOf(request) };
  });
  using _server = server;
  const question = async function* () {
    yield requestOf(Buffer.from("x"));
    yield* silent();
  };
  const reading = client.forwardPort(question())[Symbol.asyncIterator]();
  await reading.next();
  server.shutDown();
  await assert.rejects(reading.next(), { code: "unavailable" });
});

/** Resolves when the number stays as it is over many turns of the event loop. */
async function quiet(count: () => number): Promise<void> {
  let before = -1;
  let turns = 0;
  await until(() => {
    turns = count() === before ? turns + 1 : 0;
    before = count();
    return turns > 2_000;
  }, 20_000);
}
