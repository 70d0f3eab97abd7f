/** Real sockets on loopback addresses; the upstream nameserver is one of the test's. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { streamEncode } from "dns-packet";
import { NetworkEndpointSchema, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { IpFamily, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  ask,
  askStream,
  code,
  data,
  endpoints,
  networkOn,
  repliesOf,
  setUp,
} from "./testing/ground.ts";
import { replyTo } from "./testing/upstream.ts";

describe("DnsServer", () => {
  const front = networkOn("front", "127.88.0.1");
  const back = networkOn("back", "127.88.1.1");

  test("answers on every network with that network's names", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front, back],
      endpoints: [...endpoints("front", "web", 2), ...endpoints("back", "db", 1)],
    });
    assert.deepEqual(data(await ask("web", { port }))?.sort(), ["10.0.0.0", "10.0.0.1"]);
    assert.deepEqual(data(await ask("db", { port, server: "127.88.1.1" })), ["10.0.0.0"]);
    assert.equal(code(await ask("db", { port })), "NXDOMAIN");
  });

  test("has an empty answer for other types of a name that exists", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 2),
    });
    const reply = await ask("web", { port, type: "AAAA" });
    assert.equal(code(reply), "NOERROR");
    assert.deepEqual(data(reply), []);
  });

  test("cuts a long answer in a datagram and has all of it over TCP", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 500),
    });
    const datagram = await ask("web", { port });
    assert.equal(datagram.flag_tc, true);
    const reply = await askStream("web", port);
    assert.equal(reply?.answers?.length, 500);
  });

  test("never asks outside for names of the cluster's addresses", async (t) => {
    const { server, port, upstream } = await setUp(t, (asked) => replyTo(asked));
    const vip = { networkId: "front", virtualIp: "127.88.0.100" };
    const services = [create(ServiceEndpointSchema, { id: "s", name: "shop", networks: [vip] })];
    await server.apply({ services, networks: [front, back], endpoints: [] });
    const reverse = async (address: string) =>
      await ask(`${address.split(".").reverse().join(".")}.in-addr.arpa`, { port, type: "PTR" });
    assert.deepEqual(data(await reverse("127.88.0.100")), ["shop.front"]);
    for (const address of ["127.88.0.7", "127.88.1.7"]) {
      assert.equal(code(await reverse(address)), "NXDOMAIN");
    }
    assert.equal(upstream.asked.length, 0);
    await reverse("198.51.100.1");
    assert.equal(upstream.asked.length, 1);
  });

  test("fails when no nameserver answers in time, and goes on meanwhile", async (t) => {
    const { server, port } = await setUp(t, () => undefined);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const slow = ask("example.test", { port });
    assert.deepEqual(data(await ask("web", { port })), ["10.0.0.0"]);
    assert.equal(code(await slow), "SERVFAIL");
  });

  test("survives noise over UDP and TCP", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const socket = createSocket("udp4");
    t.after(() => socket.close());
    for (const length of [0, 5, 12, 40, 1400])
      socket.send(Buffer.alloc(length, 0xc0), port, "127.88.0.1");
    const stream = connect({ host: "127.88.0.1", port });
    stream.on("error", () => {});
    stream.end(Buffer.alloc(3000, 0x01));
    await once(stream.resume(), "close", { signal: AbortSignal.timeout(5_000) });
    assert.deepEqual(data(await ask("web", { port })), ["10.0.0.0"]);
  });

  test("answers by both families on both gateways of a network", async (t) => {
    const { server, port } = await setUp(t);
    const dual = create(NetworkSchema, {
      id: "dual",
      ipam: {
        configs: [
          { subnet: "127.88.0.0/24", gateway: "127.88.0.1" },
          { family: IpFamily.IPV6, subnet: "::1/128", gateway: "::1" },
        ],
      },
    });
    const task = create(NetworkEndpointSchema, {
      networkId: "dual",
      taskId: "t",
      serviceName: "web",
      address: "10.0.0.1",
      address6: "fd00::1",
      serving: true,
    });
    await server.apply({ services: [], networks: [dual], endpoints: [task] });
    for (const from of ["127.88.0.1", "::1"]) {
      assert.deepEqual(data(await ask("web", { port, server: from })), ["10.0.0.1"]);
      const six = await ask("WEB", { port, server: from, type: "AAAA" });
      assert.deepEqual(data(six), ["fd00::1"]);
    }
  });

  test("says where a port is served: a service's by its name, a task's by number", async (t) => {
    const { server, port } = await setUp(t, (asked) => replyTo(asked));
    const place = { networkId: "front", virtualIp: "10.9.9.9" };
    const named = { name: "http", targetPort: 8080, publishedPort: 80 };
    const shop = { id: "s", name: "shop", networks: [place], ports: [named] };
    const task = {
      networkId: "front",
      taskId: "t",
      taskName: "shop.1.t",
      serviceId: "s",
      serviceName: "shop",
      address: "10.0.0.1",
      serving: true,
    };
    await server.apply({
      services: [create(ServiceEndpointSchema, shop)],
      networks: [front],
      endpoints: [create(NetworkEndpointSchema, task)],
    });
    const served = async (name: string) => {
      const { answers = [], additionals = [] } = await ask(name, { port, type: "SRV" });
      const [answer, additional] = [answers[0], additionals[0]];
      assert(answer?.type === "SRV" && additional?.type === "A");
      assert.equal(additional.name, answer.data.target);
      return [answer.data.target, answer.data.port, additional.data];
    };
    assert.deepEqual(await served("_http._tcp.shop"), ["shop.front", 8080, "10.9.9.9"]);
    assert.deepEqual(await served("_53._udp.tasks.shop"), ["shop.1.t.front", 53, "10.0.0.1"]);
    assert.equal(code(await ask("_smtp._tcp.shop", { port, type: "SRV" })), "NXDOMAIN");
    assert.equal(code(await ask("_http._udp.shop", { port, type: "SRV" })), "NXDOMAIN");
    assert.deepEqual(data(await ask("_http._tcp.shop", { port })), []);
    assert.equal(code(await ask("_ldap._tcp.elsewhere", { port, type: "SRV" })), "NOERROR");
  });

  test("shuffles its answers", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 6),
    });
    const orders = new Set<string>();
    for (let round = 0; round < 20; round += 1)
      orders.add(JSON.stringify(data(await ask("web", { port }))));
    assert(orders.size > 5);
  });

  test("answers questions that come in one piece over TCP as soon as it can", async (t) => {
    const late = Promise.withResolvers<void>();
    const { server, port } = await setUp(t, () => {
      late.resolve();
      return undefined;
    });
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const names = ["example.test", "web", "tasks.web"];
    const pieces = names.map((name, id) =>
      streamEncode({ type: "query", id, questions: [{ type: "A", name }] }),
    );
    const stream = connect({ host: "127.88.0.1", port });
    stream.write(Buffer.concat(pieces));
    await late.promise;
    const ids: unknown[] = [];
    for await (const reply of repliesOf(stream)) {
      ids.push(reply.id);
      if (ids.length === 2) break;
    }
    assert.deepEqual(ids, [1, 2]);
  });

  test("keeps so many connections of a task at a time", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const streams = Array.from({ length: 17 }, () => connect({ host: "127.88.0.1", port }));
    t.after(() => streams.forEach((stream) => stream.destroy()));
    for (const stream of streams) stream.on("error", () => {});
    const closed = await Promise.race(
      streams.map((stream, index) => once(stream.resume(), "close").then(() => index)),
    );
    assert.equal(closed, 16);
    const other = connect({ host: "127.88.0.1", port, localAddress: "127.88.0.77" });
    other.write(streamEncode({ type: "query", id: 5, questions: [{ type: "A", name: "web" }] }));
    for await (const { id } of repliesOf(other)) {
      assert.equal(id, 5);
      break;
    }
  });

  test("is understood by dig", async (t) => {
    const { server, port, upstream } = await setUp(t, (asked) => replyTo(asked));
    const place = { networkId: "front", virtualIp: "127.88.0.100", virtualIp6: "fd00::100" };
    const services = [create(ServiceEndpointSchema, { id: "s", name: "shop", networks: [place] })];
    const tasks = endpoints("front", "web", 40);
    await server.apply({ services, networks: [front], endpoints: tasks });
    const dig = async (...args: string[]) => {
      const at = ["@127.88.0.1", "-p", String(port), "+tries=1", "+timeout=5"];
      const { stdout } = await promisify(execFile)("dig", [...at, ...args], { timeout: 20_000 });
      assert.doesNotMatch(stdout, /Warning|malformed|extra bytes/i);
      return stdout.trim();
    };
    assert.equal(await dig("+short", "shop"), "127.88.0.100");
    assert.equal(await dig("+short", "shop.front", "AAAA"), "fd00::100");
    assert.equal(await dig("+short", "-x", "127.88.0.100"), "shop.front.");
    assert.equal(await dig("+short", "shop", "ANY"), "127.88.0.100");
    assert.match(await dig("+noedns", "+ignore", "web"), /flags: qr aa tc rd ra;.* ANSWER: 30,/);
    assert.match(await dig("+noedns", "web"), /flags: qr aa rd ra;.* ANSWER: 40,.*\(TCP\)/s);
    assert.match(await dig("web"), /EDNS: version: 0, flags:; udp: 1232.* 40,|40,.*udp: 1232/s);
    assert.match(await dig("shop", "MX"), /status: NOERROR.* ANSWER: 0,/s);
    assert.match(await dig("+dnssec", "example.test"), /flags: qr rd ra;.* do; udp: 1232/s);
    assert.match(await dig("+noedns", "+edns=1", "+noednsnegotiation", "shop"), /BADVERS/);
    assert.match(await dig("shop", "AXFR"), /Transfer failed/);
    assert.match(await dig("version.bind", "CH", "TXT"), /status: REFUSED/);
    assert.equal(upstream.asked.length, 1);
  });

  test("opens and closes sockets as networks come and go", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({ services: [], networks: [front], endpoints: [] });
    await server.apply({ services: [], networks: [back], endpoints: endpoints("back", "db", 1) });
    const refused = connect({ host: "127.88.0.1", port });
    const [error] = await once(refused, "error");
    assert.equal(error.code, "ECONNREFUSED");
    assert.deepEqual(data(await ask("db", { port, server: "127.88.1.1" })), ["10.0.0.0"]);
  });

  test("says which address it could not listen on, and listens on the others", async (t) => {
    const { server, port } = await setUp(t);
    const foreign = networkOn("foreign", "192.0.2.1");
    await assert.rejects(
      server.apply({
        services: [],
        networks: [foreign, front],
        endpoints: endpoints("front", "web", 1),
      }),
      /192\.0\.2\.1/,
    );
    assert.equal(code(await ask("web", { port })), "NOERROR");
  });
});
