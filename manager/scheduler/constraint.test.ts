import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { testNode } from "../testing/fixtures.ts";
import { meetsConstraints, parseConstraints, parseSpreadKey } from "./constraint.ts";

const node = testNode(7, {
  id: "Abc123",
  role: NodeRole.MANAGER,
  spec: { annotations: { labels: { zone: "East", "com.example/rack": "r1", empty: "" } } },
  status: { address: "10.1.2.3" },
  description: {
    hostname: "Alpha",
    platform: { os: "linux", architecture: "amd64" },
    engine: { labels: { storage: "ssd" } },
  },
});

const onV6 = testNode(8, { status: { address: "2001:db8::2" } });
const bare = create(NodeSchema, { id: "bare" });

const met = [
  "node.id==abc123",
  "node.id != other",
  "NODE.ID==Abc123",
  "  node.hostname   ==   alpha  ",
  "node.hostname!=beta",
  "node.role==manager",
  "node.role == MANAGER",
  "node.role!=worker",
  "node.platform.os==Linux",
  "node.platform.arch==x86_64",
  "node.platform.arch==AMD64",
  "node.platform.arch!=aarch64",
  "node.ip==10.1.2.3",
  "node.ip==10.1.0.0/16",
  "node.ip==10.1.2.3/16",
  "node.ip!=10.2.0.0/16",
  "node.ip!=2001:db8::/32",
  "node.labels.zone==east",
  "Node.Labels.zone==EAST",
  "node.labels.Zone!=east",
  "node.labels.missing!=anything",
  "node.labels.empty!=x",
  "engine.labels.storage==SSD",
  "engine.labels.zone!=east",
  "node.labels.toString!=x",
];

const unmet = [
  "node.id!=abc123",
  "node.hostname==beta",
  "node.role==worker",
  "node.platform.os==windows",
  "node.platform.arch==arm64",
  "node.ip==10.1.2.4",
  "node.ip!=10.1.0.0/16",
  "node.ip==::/0",
  "node.labels.Zone==east",
  "node.labels.missing==x",
  "node.labels.empty==x",
  "engine.labels.zone==east",
  "node.labels.zone==e*",
];

for (const [list, expected] of [
  [met, true],
  [unmet, false],
] as const) {
  for (const text of list) {
    test(`A node ${expected ? "meets" : "does not meet"} "${text}"`, () => {
      assert.equal(meetsConstraints(node, parseConstraints([text])), expected);
    });
  }
}

test("All constraints must be met; no constraint is met by every node", () => {
  const [first = "", second = ""] = met;
  assert.ok(meetsConstraints(node, parseConstraints([first, second])));
  assert.ok(!meetsConstraints(node, parseConstraints([first, "node.role==worker"])));
  assert.ok(meetsConstraints(bare, parseConstraints([])));
});

test("IPv6 addresses are compared as addresses, not as texts", () => {
  const on = (text: string) => meetsConstraints(onV6, parseConstraints([text]));
  assert.ok(on("node.ip==2001:0db8:0::0002"));
  assert.ok(on("node.ip==2001:db8::/64"));
  assert.ok(!on("node.ip==2001:db9::/64"));
  assert.ok(!on("node.ip==0.0.0.0/0"));
});

test("A node that has told nothing of itself meets only what is negated", () => {
  const on = (text: string) => meetsConstraints(bare, parseConstraints([text]));
  for (const key of ["node.hostname", "node.platform.os", "node.platform.arch"]) {
    assert.ok(!on(`${key}==linux`));
    assert.ok(on(`${key}!=linux`));
  }
  assert.ok(!on("node.ip==0.0.0.0/0"));
  assert.ok(on("node.ip!=0.0.0.0/0"));
});

const refused: readonly [string, RegExp][] = [
  ["", /has no operator: write KEY==VALUE or KEY!=VALUE/],
  ["node.role=manager", /"node.role=manager" has no operator/],
  ["node.labels.cpus>4", /has no operator/],
  ["node.role==", /has no value/],
  ["==manager", /has the key ""/],
  ["a!=b==c", /has the key "a!=b"/],
  ["node.labels.zone==e;rm", /has the value "e;rm": use letters/],
  ["node.label.Zone==east", /did you mean "node.labels.Zone"\?/],
  ["engine.lables.disk==ssd", /did you mean "engine.labels.disk"\?/],
  ["node.hostnam==h1", /did you mean "node.hostname"\?/],
  ["node.platform.architecture==arm64", /use node.id, node.hostname, node.role/],
  ["node.labels.==x", /has the key "node.labels."/],
  ["zone==east", /use node.id, .* node.ip, node.labels.NAME or engine.labels.NAME/],
  ["node.role==boss", /has the role "boss": use manager or worker/],
  ["node.ip==10.1.2", /has the value "10.1.2": use an IP address or a subnet/],
  ["node.ip==10.1.2.3/33", /use an IP address or a subnet/],
  ["node.ip==h1", /use an IP address or a subnet/],
  ["constructor==x", /has the key "constructor"/],
];

for (const [text, message] of refused) {
  test(`"${text}" is no constraint`, () => {
    assert.throws(() => parseConstraints([text]), { code: "invalid-argument", message });
  });
}

test("Tasks are spread over labels, or over any other text of a node, and nothing else", () => {
  assert.equal(parseSpreadKey("Node.Labels.zone")(node), "East");
  assert.equal(parseSpreadKey("engine.labels.storage")(node), "ssd");
  assert.equal(parseSpreadKey("node.labels.missing")(node), "");
  assert.equal(parseSpreadKey("node.id")(node), "Abc123");
  assert.equal(parseSpreadKey("node.hostname")(bare), "");
  const refusals: readonly [string, RegExp][] = [
    ["node.ip", /^"node\.ip" is nothing to spread over: did you mean "node\.id"\?$/],
    ["zone", /^"zone" is nothing to spread over: use node\.id, .* or engine\.labels\.NAME$/],
    ["", /^"" is nothing to spread over/],
    ["__proto__", /is nothing to spread over/],
  ];
  for (const [key, message] of refusals) {
    assert.throws(() => parseSpreadKey(key), { code: "invalid-argument", message });
  }
});

test("Any text is a constraint that every node can be held against, or is refused with a Fault", () => {
  const key = fc.constantFrom("node.ip", "node.id", "node.role", "node.labels.a", "x", "NODE.IP");
  const likely = fc
    .tuple(key, fc.constantFrom("==", "!=", "=", " == "), fc.string())
    .map((parts) => parts.join(""));
  const property = fc.property(fc.oneof(likely, fc.string({ unit: "binary" })), (text) => {
    try {
      parseSpreadKey(text)(node);
    } catch (thrown) {
      assert.ok(thrown instanceof Fault, String(thrown));
    }
    try {
      const constraints = parseConstraints([text]);
      for (const one of [node, onV6, bare]) meetsConstraints(one, constraints);
    } catch (thrown) {
      assert.ok(thrown instanceof Fault, String(thrown));
      assert.equal(thrown.code, "invalid-argument");
    }
  });
  fc.assert(property, { numRuns: 500 });
});

test("A negated constraint is met where the other is not", () => {
  const value = fc.constantFrom("east", "10.1.0.0/16", "abc123", "manager", "linux");
  const key = fc.constantFrom("node.id", "node.hostname", "node.labels.zone", "engine.labels.a");
  const property = fc.property(key, value, (name, text) => {
    for (const one of [node, onV6, bare]) {
      const equal = meetsConstraints(one, parseConstraints([`${name}==${text}`]));
      assert.equal(meetsConstraints(one, parseConstraints([`${name}!=${text}`])), !equal);
    }
  });
  fc.assert(property);
});
