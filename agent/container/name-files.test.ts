import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { planHosts, planResolvConf } from "./name-files.ts";

function taskOf(container: MessageInitShape<typeof ContainerSpecSchema>) {
  const value = create(ContainerSpecSchema, container);
  return create(TaskSchema, {
    id: "abcdefghijklmnopqrstuvwxy",
    spec: { runtime: { case: "container", value } },
  });
}

test("planHosts, loopback, the wanted names, then the task's own addresses", () => {
  const lines = planHosts(taskOf({ hosts: ["1.2.3.4 db db2"] }), ["10.0.1.5"]).split("\n");
  assert.equal(lines[0], "127.0.0.1\tlocalhost");
  assert.deepEqual(lines.slice(-3), ["1.2.3.4\tdb db2", "10.0.1.5\tabcdefghijkl", ""]);
});

test("planResolvConf, on a network: its gateway, and names asked as they are", () => {
  const text = "nameserver 10.0.1.1\noptions ndots:0\n";
  assert.equal(planResolvConf(taskOf({}), { nameserver: "10.0.1.1" }), text);
});

test("planResolvConf, the user's own wishes win; servers are asked by the network's own", () => {
  const dnsConfig = { nameservers: ["9.9.9.9"], search: ["a.b"], options: ["ndots:2"] };
  const rest = "search a.b\noptions ndots:2\n";
  const onNetwork = planResolvConf(taskOf({ dnsConfig }), { nameserver: "10.0.1.1" });
  assert.equal(onNetwork, `nameserver 10.0.1.1\n${rest}`);
  assert.equal(planResolvConf(taskOf({ dnsConfig }), {}), `nameserver 9.9.9.9\n${rest}`);
});

test("planResolvConf, the host's domains where the user names none; the root means none at all", () => {
  const source = { nameserver: "10.0.1.1", search: ["lan", "corp.test"] };
  const text = (search: string) => `nameserver 10.0.1.1\n${search}options ndots:0\n`;
  assert.equal(planResolvConf(taskOf({}), source), text("search lan corp.test\n"));
  const own = (search: string[]) => planResolvConf(taskOf({ dnsConfig: { search } }), source);
  assert.equal(own(["a.b"]), text("search a.b\n"));
  assert.equal(own(["."]), text(""));
});

test("planResolvConf, no network: nobody to ask", () => {
  assert.equal(planResolvConf(taskOf({}), {}), "");
});

test("planResolvConf, on the host's network: as the host asks, unless the user names servers", () => {
  const hostFile = "nameserver 192.0.2.53\nsearch lan\n";
  assert.equal(planResolvConf(taskOf({}), { hostFile }), hostFile);
  const dnsConfig = { nameservers: ["9.9.9.9"] };
  assert.equal(planResolvConf(taskOf({ dnsConfig }), { hostFile }), "nameserver 9.9.9.9\n");
});

test("planHosts, a line break: refused", () => {
  assert.throws(() => planHosts(taskOf({ hosts: ["1.2.3.4 a\n6.6.6.6 bank"] }), []), /line break/);
});
