import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { EncryptionState } from "./encryption.ts";
import { emptyPicture, type EncryptionPicture, parseDump, wantedPicture } from "./link-picture.ts";
import { type LinkStep, planLink } from "./link-plan.ts";
import { parseDevice, parseRoutes } from "./link-reader.ts";

const never = new Map<string, number>();

/** A public key that can be told from others. */
function key(name: string): string {
  return `${name.padEnd(42, "0")}A=`;
}

function state(keys: readonly string[], wanted = true): EncryptionState {
  const peers = keys.map((encryptionKey, index) => ({
    id: `node${index + 2}`,
    number: index + 2,
    address: `192.0.2.${index + 2}`,
    encryptionKey,
  }));
  return { self: { number: 1 }, peers, wanted, underlayMtu: 1500 };
}

function picture(keys: readonly string[], handshakes: ReadonlyMap<string, number> = never) {
  return wantedPicture(state(keys), key("own"), handshakes);
}

function set(plan: readonly LinkStep[]): readonly string[] {
  return plan.flatMap((step) => (step.kind === "wg" ? [step.args.join(" ")] : []));
}

test("planLink, what is as wanted needs nothing", () => {
  const wanted = picture([key("a"), `${key("b")} ${key("b2")}`]);
  assert.deepEqual(planLink(wanted, wanted), []);
  assert.deepEqual(planLink(emptyPicture, emptyPicture), []);
});

test("planLink, a link is made behind the closed route, and its own route comes last", () => {
  const plan = planLink(emptyPicture, picture([key("a")]));
  assert.deepEqual(plan, [
    { kind: "ip", lines: ["route add unreachable 169.254.64.0/18 metric 4096 proto 116"] },
    { kind: "make" },
    {
      kind: "wg",
      keyed: true,
      args: `listen-port 51820 peer ${key("a")} endpoint 192.0.2.2:51820 allowed-ips 169.254.64.2/32`.split(
        " ",
      ),
    },
    {
      kind: "ip",
      lines: [
        "addr add 169.254.64.1/32 dev sw-wg0",
        "link set sw-wg0 addrgenmode none",
        "link set sw-wg0 mtu 1440 up",
        "route replace 169.254.64.0/18 dev sw-wg0 scope link src 169.254.64.1 proto 116",
      ],
    },
  ]);
});

test("planLink, what goes leaves nothing behind", () => {
  assert.deepEqual(planLink(picture([key("a")]), emptyPicture), [
    { kind: "remove" },
    { kind: "ip", lines: ["route del unreachable 169.254.64.0/18 metric 4096 proto 116"] },
  ]);
});

test("planLink, a device that nobody carries is removed before another is made", () => {
  const wanted = picture([key("a")]);
  const dead: EncryptionPicture = { ...wanted, link: undefined, remains: true };
  const plan = planLink(dead, wanted);
  assert.deepEqual(
    plan.map(({ kind }) => kind),
    ["remove", "make", "wg", "ip"],
  );
  const last = plan.at(-1);
  assert(last?.kind === "ip");
  assert.match(last.lines.at(-1) ?? "", /^route replace 169\.254\.64\.0\/18 dev sw-wg0 /);
  assert.deepEqual(planLink({ ...emptyPicture, remains: true }, emptyPicture), [
    { kind: "remove" },
  ]);
});

test("planLink, one peer's news touches no other peer", () => {
  const before = picture([key("a"), key("b")]);
  const both = picture([key("a"), `${key("b")} ${key("c")}`]);
  assert.deepEqual(set(planLink(before, both)), [`peer ${key("c")} endpoint 192.0.2.3:51820`]);
  const after = picture([key("a"), key("c")]);
  assert.deepEqual(set(planLink(both, after)), [
    `peer ${key("b")} remove peer ${key("c")} allowed-ips 169.254.64.3/32`,
  ]);
});

test("planLink, a key of the host's own that is new is shown to wg, and nothing else", () => {
  const before = picture([key("a")]);
  const after = wantedPicture(state([key("a")]), key("own2"), never);
  assert.deepEqual(planLink(before, after), [{ kind: "wg", keyed: true, args: [] }]);
});

test("planLink, thousands of peers are set in several runs, none of them twice", () => {
  const keys = Array.from({ length: 4_500 }, (_, index) => key(`n${index}x`));
  const runs = set(planLink(emptyPicture, picture(keys)));
  assert.equal(runs.length, 3);
  const named = runs.flatMap((run) => [...run.matchAll(/peer (\S+)/g)].map(([, name]) => name));
  assert.deepEqual(named, keys);
});

test("wantedPicture, a peer that has changed over is believed before managers say so", () => {
  const announced = [`${key("a")} ${key("b")}`];
  const allowed = (handshakes: ReadonlyMap<string, number>) =>
    [...(picture(announced, handshakes).link?.peers ?? [])]
      .filter(([, peer]) => peer.allowedIps === "169.254.64.2/32")
      .map(([name]) => name);
  assert.deepEqual(allowed(never), [key("a")]);
  assert.deepEqual(allowed(new Map([[key("a"), 7]])), [key("a")]);
  assert.deepEqual(
    allowed(
      new Map([
        [key("a"), 7],
        [key("b"), 8],
      ]),
    ),
    [key("b")],
  );
});

test("wantedPicture, no peer takes another's key, nor ours, nor one that is none", () => {
  const injected = `${key("x")} private-key`;
  const wanted = picture([
    key("a"),
    key("a"),
    key("own"),
    "",
    injected,
    "x",
    `${key("b")} ${key("a")}`,
  ]);
  assert.deepEqual(
    [...(wanted.link?.peers ?? [])].map(([name, { allowedIps }]) => [name, allowedIps]),
    [
      [key("a"), "169.254.64.2/32"],
      [key("b"), "169.254.64.8/32"],
    ],
  );
});

test("parseDump, reads keys, endpoints, addresses and handshakes, and not the private key", () => {
  const dump = parseDump(
    [
      ["PRIVATE", key("own"), "51820", "off"],
      [key("a"), "(none)", "192.0.2.2:51820", "169.254.64.2/32", "1700000000", "1", "2", "off"],
      [key("b"), "(none)", "(none)", "(none)", "0", "0", "0", "off"],
    ]
      .map((fields) => `${fields.join("\t")}\n`)
      .join(""),
  );
  assert.deepEqual(dump, {
    publicKey: key("own"),
    port: 51_820,
    peers: new Map([
      [key("a"), { endpoint: "192.0.2.2:51820", allowedIps: "169.254.64.2/32" }],
      [key("b"), { endpoint: "", allowedIps: "" }],
    ]),
    handshakes: new Map([
      [key("a"), 1_700_000_000],
      [key("b"), 0],
    ]),
  });
});

test("parseDump, any text is read or refused in words that quote nothing of it", () => {
  const line = fc.array(fc.string({ minLength: 1 }), { maxLength: 6 }).map((all) => all.join("\t"));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        parseDump(lines.join("\n"));
      } catch (thrown) {
        assert(thrown instanceof Error);
        assert.equal(thrown.message, "Cannot understand what wg shows of the encrypted link");
      }
    }),
  );
});

test("parseDevice and parseRoutes, any JSON list is read without a failure", () => {
  assert.equal(parseDevice(""), undefined);
  const record = fc.dictionary(
    fc.constantFrom("ifname", "flags", "addr_info", "mtu", "dst", "type", "dev"),
    fc.oneof(fc.constant("sw-wg0"), fc.jsonValue()),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(record, fc.jsonValue())), (list) => {
      parseDevice(JSON.stringify(list));
      parseRoutes(JSON.stringify(list));
    }),
  );
});
