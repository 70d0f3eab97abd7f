/** What the cluster does not know, asked of others through the nameserver. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { on } from "node:events";
import { describe, test, type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { decode, encode } from "dns-packet";
import { NetworkEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import type { DnsServer } from "./dns-server.ts";
import { ask, askStream, bind, code, data, endpoints, networkOn, setUp } from "./testing/ground.ts";
import { openUpstream, replyTo } from "./testing/upstream.ts";

const front = networkOn("front", "127.88.0.1");
const back = networkOn("back", "127.88.1.1");

test("DnsServer, forwards what it does not know, brings the answer back, and keeps it", async (t) => {
  const { server, port, upstream } = await setUp(t, (asked) => replyTo(asked));
  await server.apply({ services: [], networks: [front], endpoints: [] });
  for (const name of ["example.test", "Example.Test"]) {
    const reply = await ask(name, { port });
    assert.equal(reply.id, 9);
    assert.equal(reply.questions?.[0]?.name, name);
    assert.deepEqual(data(reply), ["192.0.2.1"]);
  }
  assert.equal(upstream.asked.length, 1);
});

test("DnsServer, cuts forwarded answers, too, for who takes little", async (t) => {
  const many = Array.from({ length: 60 }, (_, index) => ({
    type: "A" as const,
    name: "example.test",
    data: `192.0.2.${index}`,
  }));
  const { server, port } = await setUp(t, (asked) => replyTo(asked, { answers: many }));
  await server.apply({ services: [], networks: [front], endpoints: [] });
  const reply = await ask("example.test", { port });
  assert(reply.flag_tc && (reply.answers?.length ?? 0) > 10);
  assert.equal((await askStream("example.test", port)).answers?.length, 60);
});

test("DnsServer, forwards from the ingress network, which has no names, and not from internal ones", async (t) => {
  const { server, port, upstream } = await setUp(t, (asked) => replyTo(asked));
  const ingress = networkOn("ingress", "127.88.2.1", { ingress: true });
  const vault = networkOn("vault", "127.88.3.1", { internal: true });
  const all = ["ingress", "vault"].flatMap((id) => endpoints(id, "web", 1));
  await server.apply({ services: [], networks: [ingress, vault], endpoints: all });
  assert.deepEqual(data(await ask("web", { port, server: "127.88.2.1" })), ["192.0.2.1"]);
  assert.deepEqual(data(await ask("web", { port, server: "127.88.3.1" })), ["10.0.0.0"]);
  assert.equal(code(await ask("example.test", { port, server: "127.88.3.1" })), "NXDOMAIN");
  assert.equal(upstream.asked.length, 1);
});

describe("DnsServer, asks a task's own nameservers for what the cluster does not know", () => {
  const saying = (address: string) => (asked: Buffer) =>
    replyTo(asked, { answers: [{ type: "A", name: "example.test", ttl: 60, data: address }] });
  const vault = networkOn("vault", "127.88.3.1", { internal: true });
  const applied = async (server: DnsServer) => {
    const all = [...endpoints("front", "web", 1), ...endpoints("back", "db", 1)];
    await server.apply({ services: [], networks: [front, back, vault], endpoints: all });
  };

  test("and the host's for the others, each with answers of its own", async (t) => {
    const own = { "127.88.0.21": ["127.89.0.2"], "127.88.0.22": ["127.89.0.9", "127.89.0.2"] };
    const { server, port, upstream } = await setUp(t, saying("192.0.2.1"), { own });
    const theirs = await openUpstream(t, saying("198.51.100.1"), {
      address: "127.89.0.2",
      port: upstream.port,
    });
    await applied(server);
    const asked = async (from: string) => data(await ask("example.test", { port, from }));
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await asked("127.88.0.20"), ["192.0.2.1"]);
      assert.deepEqual(await asked("127.88.0.21"), ["198.51.100.1"]);
      assert.deepEqual(await asked("127.88.0.22"), ["198.51.100.1"]);
    }
    assert.deepEqual(data(await ask("web", { port, from: "127.88.0.21" })), ["10.0.0.0"]);
    assert.deepEqual([upstream.asked.length, theirs.asked.length], [1, 2]);
  });

  test("by IPv6, too", async (t) => {
    const own = { "127.88.0.21": ["::1"] };
    const { server, port, upstream } = await setUp(t, undefined, { own });
    await openUpstream(t, saying("198.51.100.1"), { address: "::1", port: upstream.port });
    await applied(server);
    const reply = await ask("example.test", { port, from: "127.88.0.21" });
    assert.deepEqual(data(reply), ["198.51.100.1"]);
  });

  test("and not the host's where these fail", async (t) => {
    const own = { "127.88.0.21": ["127.89.0.2"] };
    const { server, port, upstream } = await setUp(t, saying("192.0.2.1"), { own });
    await applied(server);
    assert.equal(code(await ask("example.test", { port, from: "127.88.0.21" })), "SERVFAIL");
    assert.equal(upstream.asked.length, 0);
  });

  test("but never itself: who names a gateway alone has the host's", async (t) => {
    const own = { "127.88.0.21": ["127.88.0.1", "127.88.1.1"] };
    const { server, port } = await setUp(t, saying("192.0.2.1"), { own });
    await applied(server);
    const reply = await ask("example.test", { port, from: "127.88.0.21" });
    assert.deepEqual(data(reply), ["192.0.2.1"]);
  });

  test("as far as the task itself could ask them", async (t) => {
    const inFront = "127.88.0.53";
    const inVault = "127.88.3.53";
    const own = { "127.88.0.21": [inVault], "127.88.0.22": [inVault, inFront] };
    const internal = { "127.88.3.21": ["127.89.0.2", inFront], "127.88.3.22": [inVault] };
    const { server, port, upstream } = await setUp(t, saying("192.0.2.1"), {
      own: { ...own, ...internal },
    });
    const heard: string[] = [];
    for (const address of [inFront, inVault, "127.89.0.2"]) {
      const behave = (asked: Buffer) => {
        heard.push(address);
        return saying(address)(asked);
      };
      await openUpstream(t, behave, { address, port: upstream.port });
    }
    await applied(server);
    const asked = async (from: string, gateway: string) =>
      await ask("example.test", { port, from, server: gateway });
    assert.equal(code(await asked("127.88.0.21", "127.88.0.1")), "NXDOMAIN");
    assert.deepEqual(data(await asked("127.88.0.22", "127.88.0.1")), [inFront]);
    assert.equal(code(await asked("127.88.3.21", "127.88.3.1")), "NXDOMAIN");
    assert.deepEqual(data(await asked("127.88.3.22", "127.88.3.1")), [inVault]);
    assert.deepEqual(heard, [inFront, inVault]);
  });
});

test("DnsServer, leaves unanswered what one task asks above its rate, and answers the others", {
  timeout: 60_000,
}, async (t) => {
  const clock = new FakeClock();
  const { server, port, upstream } = await setUp(t, (asked) => replyTo(asked), { clock });
  const task = { taskId: "t", serviceName: "web", serving: true };
  const shared = [
    create(NetworkEndpointSchema, { ...task, networkId: "front", address: "127.88.0.21" }),
    create(NetworkEndpointSchema, { ...task, networkId: "back", address: "127.88.1.21" }),
  ];
  await server.apply({ services: [], networks: [front, back], endpoints: shared });
  const greedy = await openAsker(t, "127.88.0.21");
  for (let from = 0; from < 2_000; from += 100) {
    const replies = repliesTo(greedy, 100);
    for (let id = from; id < from + 100; id += 1) {
      greedy.send(questionFor(`n${id}.test`, id), port, "127.88.0.1");
    }
    await replies;
  }
  assert.equal(upstream.asked.length, 2_000);
  // By whichever network it asks, it is the same task, and has no more even for what costs least.
  const sameTask = await openAsker(t, "127.88.1.21");
  const askers = [
    { socket: greedy, gateway: "127.88.0.1" },
    { socket: sameTask, gateway: "127.88.1.1" },
  ];
  const heard = askers.map(({ socket }) => repliesTo(socket, 1));
  for (const { socket, gateway } of askers) socket.send(questionFor("web", 1), port, gateway);
  for (const { gateway } of askers) {
    // It comes behind the question before it: once it is answered, that one was read.
    const reply = await ask("web", { port, from: "127.88.0.20", server: gateway });
    assert.equal(reply.answers?.length, 1);
  }
  clock.advance(1);
  for (const { socket, gateway } of askers) socket.send(questionFor("web", 2), port, gateway);
  assert.deepEqual(await Promise.all(heard), [[2], [2]]);
});

function questionFor(name: string, id: number): Buffer {
  return encode({ type: "query", id, flags: 0x100, questions: [{ type: "A", name }] });
}

async function openAsker(t: TestContext, address: string): Promise<Socket> {
  const socket = createSocket("udp4");
  t.after(() => socket.close());
  await bind(socket, address);
  return socket;
}

/** The IDs of so many. */
async function repliesTo(socket: Socket, count: number): Promise<readonly (number | undefined)[]> {
  const ids: (number | undefined)[] = [];
  for await (const [bytes] of on(socket, "message")) {
    if (ids.push(decode(bytes).id) === count) break;
  }
  return ids;
}
