import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { msFromDuration } from "#proto/time.ts";
import { openTestStore } from "../testing/fixtures.ts";
import { applyBootstrap, parseBootstrap, readBootstrap } from "./bootstrap.ts";

const nodeId = newId(systemRandom);
const fields = {
  nodeId,
  nodeSecretDigest: "ab".repeat(32),
  advertiseAddress: "10.0.0.1:2377",
};
const modules = () => ({ store: openTestStore().store, random: systemRandom });
const parse = (extra: object = {}) => parseBootstrap(JSON.stringify({ ...fields, ...extra }));

test("bootstrap, makes the cluster with its defaults and the first manager's node", async () => {
  const { store, random } = modules();
  await applyBootstrap(parse({ description: { hostname: "h1" } }), { store, random });
  const [cluster] = store.list("cluster");
  assert.equal(cluster?.spec?.annotations?.name, "default");
  assert.deepEqual(cluster?.spec?.network?.defaultAddressPools, ["10.0.0.0/8"]);
  assert.equal(cluster?.spec?.network?.subnetSize, 24);
  assert.equal(cluster?.spec?.orchestration?.taskHistoryRetentionLimit, 5n);
  assert.equal(msFromDuration(cluster?.spec?.dispatcher?.heartbeatPeriod, 0), 1000);
  const node = store.get("node", nodeId);
  assert.deepEqual(
    [node?.number, node?.role, node?.secretDigest, node?.managerStatus?.address],
    [1, NodeRole.MANAGER, fields.nodeSecretDigest, fields.advertiseAddress],
  );
  assert.equal(node?.description?.hostname, "h1");
});

test("bootstrap, a second time it changes nothing; of another node it is refused", async () => {
  const { store, random } = modules();
  await applyBootstrap(parse(), { store, random });
  const before = store.index;
  await applyBootstrap(parse({ spec: { annotations: { name: "other" } } }), { store, random });
  assert.equal(store.index, before);
  await assert.rejects(applyBootstrap(parse({ nodeId: newId(random) }), { store, random }), {
    code: "failed-precondition",
    message: /is not a member of the cluster in this log/,
  });
});

test("bootstrap, the cluster's spec is taken over", async () => {
  const { store, random } = modules();
  const spec = {
    annotations: { name: "prod" },
    dispatcher: { heartbeatPeriod: "2s" },
    network: { defaultAddressPools: ["10.20.0.0/16"], subnetSize: 26 },
  };
  await applyBootstrap(parse({ spec }), { store, random });
  const made = store.byName("cluster", "prod")?.spec;
  assert.equal(msFromDuration(made?.dispatcher?.heartbeatPeriod, 0), 2000);
  assert.deepEqual(made?.network?.defaultAddressPools, ["10.20.0.0/16"]);
});

const refusedSpecs = [
  [{ raft: { snapshotInterval: "5" } }, /^raft is not supported yet/],
  [{ dispatcher: { heartbeatPeriod: "0.01s" } }, /heartbeat_period is under 100 ms/],
  [{ network: { defaultAddressPools: ["ten"] } }, /"ten" is not an IPv4 subnet/],
  [{ network: { defaultAddressPools: ["10.0.0.0/24"], subnetSize: 16 } }, /subnet_size is \/16/],
] as const;
for (const [spec, message] of refusedSpecs) {
  test(`bootstrap, a spec is refused: ${message.source}`, async () => {
    const { store, random } = modules();
    await assert.rejects(applyBootstrap(parse({ spec }), { store, random }), { message });
    assert.equal(store.index, 0n);
  });
}

const refused = [
  [{ nodeId: "x" }, /nodeId is not an ID/],
  [{ nodeSecretDigest: "secret" }, /nodeSecretDigest is not a SHA-256/],
  [{ advertiseAddress: "h1" }, /advertiseAddress is not of the form HOST:PORT/],
  [{ surprise: 1 }, /surprise is not known/],
  [{ spec: { nome: "x" } }, /spec is not valid: .*nome/],
  [{ description: 5 }, /description is not valid/],
] as const;
for (const [extra, message] of refused) {
  test(`bootstrap file, refused: ${message.source}`, () => {
    assert.throws(() => parse(extra), { code: "invalid-argument", message });
  });
}

test("bootstrap file, one that is not there is named", async () => {
  await assert.rejects(readBootstrap("/nonexistent/file"), {
    code: "not-found",
    message: /Cannot read the bootstrap file "\/nonexistent\/file"/,
  });
});

test("bootstrap file, any text is refused with a Fault", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc.jsonValue().map((spec) => JSON.stringify({ ...fields, spec })),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        parseBootstrap(text);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    }),
  );
});
