import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { decode, encode } from "dns-packet";
import * as fc from "fast-check";
import { NetworkEndpointSchema, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { encodeReply, parseMessage, type Query, recordType } from "./message.ts";
import { Responder } from "./responder.ts";
import { Shuffler } from "./shuffler.ts";
import { encodeName } from "./wire-name.ts";
import { Zone, type ZoneState } from "./zone.ts";

const network = create(NetworkSchema, {
  id: "n",
  spec: { annotations: { name: "front" } },
  ipam: { configs: [{ subnet: "10.0.0.0/16" }, { subnet: "fd00::/64" }] },
});

const task = (index: number, more: object = {}) =>
  create(NetworkEndpointSchema, {
    networkId: "n",
    taskId: `t${index}`,
    taskName: `web.${index}.t`,
    serviceId: "s",
    serviceName: "web",
    slot: BigInt(index),
    address: `10.0.${index >> 8}.${index & 255}`,
    address6: `fd00::${index.toString(16)}`,
    serving: true,
    ...more,
  });

const service = create(ServiceEndpointSchema, {
  id: "s",
  name: "web",
  networks: [{ networkId: "n", virtualIp: "10.0.200.1" }],
  ports: [{ name: "HTTP", targetPort: 80 }],
});

const state: ZoneState = {
  networks: [network],
  services: [service],
  endpoints: Array.from({ length: 300 }, (_, index) => task(1 + index)),
};

function setUp(of = state) {
  const zone = new Zone();
  zone.update(of);
  const responder = new Responder(new Shuffler(systemRandom));
  const reply = (query: Query, bytesMax: number) =>
    responder.reply(zone.view({ networkId: "n", address: "10.0.0.1" }), query, bytesMax);
  return { zone, reply };
}

function queryFor(name: string, type: number = recordType.a): Query {
  const wire = encodeName(name) ?? Buffer.from([0]);
  const bytes = Buffer.concat([
    encode({ type: "query", id: 1, questions: [] }),
    wire,
    Buffer.from([type >> 8, type & 255, 0, 1]),
  ]);
  bytes.writeUInt16BE(1, 4);
  const received = parseMessage(bytes);
  assert(received.kind === "query", name);
  return received;
}

describe("Responder", () => {
  test("gives each of many tasks its share of the short answers", () => {
    const { reply } = setUp();
    const seen = new Map<string, number>();
    for (let round = 0; round < 400; round += 1) {
      const query = queryFor("tasks.web");
      const own = reply(query, 512);
      assert(own !== "forward");
      const { answers = [], flag_tc: cut } = decode(encodeReply(query, own, 512));
      assert(cut && answers.length === 30);
      for (const answer of answers) {
        assert(answer.type === "A");
        seen.set(answer.data, (seen.get(answer.data) ?? 0) + 1);
      }
    }
    assert.equal(seen.size, 300);
    // 40 on average; one in a million is this far away.
    assert(Math.max(...seen.values()) < 80 && Math.min(...seen.values()) > 8);
  });

  test("leaves out addresses and names that are none, and answers with the others", () => {
    const broken = [
      task(1),
      task(2, { address: "10.0.0.300", address6: "fe80::1%eth0" }),
      task(3, { address: "no", taskName: "x".repeat(64) }),
    ];
    const { reply } = setUp({ ...state, services: [], endpoints: broken });
    for (const [type, count] of [
      [recordType.a, 1],
      [recordType.aaaa, 2],
    ] as const) {
      const own = reply(queryFor("web", type), 512);
      assert(own !== "forward");
      assert.equal(own.answers.length, count);
    }
    const own = reply(queryFor("_1._tcp.web", recordType.srv), 512);
    assert(own !== "forward");
    assert.equal(own.answers.length, 2);
  });

  test("forgets what it encoded when the name changes", () => {
    const { zone, reply } = setUp();
    const count = () => {
      const own = reply(queryFor("tasks.web"), 512);
      return own === "forward" ? own : own.answers.length;
    };
    assert.equal(count(), 300);
    zone.update({ ...state, endpoints: state.endpoints.with(0, task(1, { serving: false })) });
    assert.equal(count(), 299);
    zone.update({ ...state, services: [], endpoints: [] });
    assert.equal(count(), "forward");
  });

  test("takes any name and type, and answers within the limit", () => {
    const words =
      "web tasks WEB 1 _http _80 _99999 _tcp _sctp front in-addr arpa ip6 10 0 255 256 f";
    const piece = fc.constantFrom(...words.split(" "), "a\\", "\0", "x".repeat(63));
    const name = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join("."));
    const type = fc.oneof(fc.constantFrom(...Object.values(recordType)), fc.nat(0xffff));
    const { reply } = setUp();
    fc.assert(
      fc.property(name, type, fc.integer({ min: 512, max: 1232 }), (asked, type, bytesMax) => {
        if (type === recordType.opt || type === recordType.axfr || type === recordType.ixfr) return;
        const query = queryFor(asked, type);
        const own = reply(query, bytesMax);
        if (own === "forward") return;
        const bytes = encodeReply(query, own, bytesMax);
        assert(bytes.length <= bytesMax);
        decode(bytes);
      }),
      { numRuns: 3_000 },
    );
  });
});
