/** Real sockets on a loopback address, and a clock that the test steps. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { type ConnectionModules, serveConnection } from "./connection.ts";
import { StreamReader, streamMessage } from "./stream.ts";

const deadline = () => ({ signal: AbortSignal.timeout(5_000) });

interface Setup {
  readonly clock: FakeClock;
  readonly asker: Socket;
  readonly served: Socket;
}

async function setUp(t: TestContext, answer: ConnectionModules["answer"]): Promise<Setup> {
  const clock = new FakeClock();
  const server = createServer({ allowHalfOpen: true });
  server.listen({ host: "127.88.0.1", port: 0 });
  await once(server, "listening");
  const bound = server.address();
  assert(bound !== null && typeof bound === "object");
  const asker = connect({ host: bound.address, port: bound.port });
  const [served] = (await once(server, "connection", deadline())) as [Socket];
  serveConnection(served, { answer, clock });
  t.after(() => {
    asker.destroy();
    served.destroy();
    server.close();
  });
  return { clock, asker, served };
}

async function exchange(asker: Socket, text: string): Promise<string> {
  const reader = new StreamReader();
  asker.write(streamMessage(Buffer.from(text)));
  for (;;) {
    const [chunk] = (await once(asker, "data", deadline())) as [Buffer];
    const [reply] = reader.push(chunk);
    if (reply !== undefined) return reply.toString();
  }
}

test("connection, 10 s after its last question it is closed, and not before", async (t) => {
  const { clock, asker, served } = await setUp(t, (bytes) => bytes);
  for (let round = 0; round < 3; round += 1) {
    clock.advance(9_999);
    assert.equal(await exchange(asker, `round ${round}`), `round ${round}`);
  }
  clock.advance(9_999);
  assert.equal(served.destroyed, false);
  const closed = once(asker, "close", deadline());
  clock.advance(1);
  assert.equal(served.destroyed, true);
  await closed;
});

test("connection, one on which nothing is ever asked is closed after 10 s", async (t) => {
  const { clock, asker, served } = await setUp(t, (bytes) => bytes);
  clock.advance(9_999);
  assert.equal(served.destroyed, false);
  const closed = once(asker.resume(), "close", deadline());
  clock.advance(1);
  await closed;
});

test("connection, an answer that comes late counts as its question does", async (t) => {
  const late = Promise.withResolvers<Buffer>();
  const asked = Promise.withResolvers<void>();
  const { clock, asker, served } = await setUp(t, () => {
    asked.resolve();
    return late.promise;
  });
  const replied = exchange(asker, "slow");
  await asked.promise;
  clock.advance(6_000);
  late.resolve(Buffer.from("at last"));
  assert.equal(await replied, "at last");
  clock.advance(9_999);
  assert.equal(served.destroyed, false);
  clock.advance(1);
  assert.equal(served.destroyed, true);
});

test("connection, one that its asker has closed has no timer any more", async (t) => {
  const { clock, asker, served } = await setUp(t, (bytes) => bytes);
  clock.advance(5_000);
  await exchange(asker, "half-way");
  // One that fires sees that there was a question, and would be set anew.
  const timers = t.mock.method(clock, "timer");
  const closed = once(served, "close", deadline());
  asker.end();
  await closed;
  clock.advance(60_000);
  assert.equal(timers.mock.callCount(), 0);
});
