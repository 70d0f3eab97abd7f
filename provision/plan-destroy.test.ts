import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";
import { type LookedAt, parseRemains, planDestroy, remainsScript } from "./plan-destroy.ts";

function aHost(name: string, isManager = false): FileHost {
  return { address: name, name, isManager, runsTasks: true, ssh: {} };
}

function node(clusterId: string, isManager = false) {
  return { nodeId: `${clusterId}node`, clusterId, isManager };
}

const names = (hosts: readonly LookedAt[]) => hosts.map(({ host }) => host.name).join(" ");

const wish = { keepPackage: false };

test("destroy, hosts go by what they are now, and not by what the file would have them be", () => {
  const plan = planDestroy(
    [
      { host: aHost("a", true), remains: { version: "1", hasData: true, node: node("c", true) } },
      { host: aHost("b", true), remains: { version: "1", hasData: true, node: node("c") } },
      { host: aHost("c"), remains: { version: "1", hasData: true, node: node("c", true) } },
      { host: aHost("d"), remains: { hasData: false } },
      { host: aHost("e"), fault: new Fault("unavailable", "no route") },
      { host: aHost("f", true), remains: { version: "1", hasData: true } },
    ],
    wish,
  );
  assert.equal(names(plan.workers), "b");
  assert.equal(names(plan.managers), "a c f");
  assert.equal(names(plan.blank), "d");
  assert.equal(names(plan.unreachable), "e");
});

test("destroy, where the package stays a host with nothing but that is done", () => {
  const hosts = [{ host: aHost("a"), remains: { version: "1", hasData: false } }];
  assert.equal(names(planDestroy(hosts, wish).workers), "a");
  assert.equal(names(planDestroy(hosts, { keepPackage: true }).blank), "a");
});

test("destroy, hosts of several clusters are refused, by name", () => {
  const hosts = [
    { host: aHost("a"), remains: { hasData: true, node: node("one") } },
    { host: aHost("b"), remains: { hasData: true, node: node("two") } },
    { host: aHost("c"), remains: { hasData: true, node: node("one") } },
  ];
  assert.throws(() => planDestroy(hosts, wish), {
    code: "failed-precondition",
    message: /several clusters \(a, c: cluster one; b: cluster two\): take those/,
  });
});

test("remains, what a host without anything of ours prints is read", () => {
  const text = execFileSync("sh", ["-s"], { input: remainsScript, encoding: "utf8" });
  assert.equal(parseRemains(text).node, undefined);
});

test("remains, version, data and node are read, also from a file that is damaged", () => {
  const file = '{  "nodeId": "n1",  "clusterId": "c1",  "role": "manager"}';
  const text = `version\t0.2.0\ndata\tyes\nnode\t${file}\nend\t\n`;
  assert.deepEqual(parseRemains(text), {
    version: "0.2.0",
    hasData: true,
    node: { nodeId: "n1", clusterId: "c1", isManager: true },
  });
  assert.deepEqual(parseRemains('data\tyes\nnode\t{"nodeId": "n\nend\t\n'), { hasData: true });
  assert.throws(() => parseRemains("data\tyes\n"), { code: "data-loss" });
});

test("remains, whatever a host prints is read or refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.equal(typeof parseRemains(`node\t${text}\nend\t\n`).hasData, "boolean");
      try {
        parseRemains(text);
      } catch (thrown) {
        assert.equal(Fault.from(thrown).code, "data-loss");
      }
    }),
  );
});
