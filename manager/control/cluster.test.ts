import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { UpdateClusterRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type ClusterSpec,
  ClusterSpecSchema,
  SchedulingConfigSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import { validateClusterSpec } from "../spec/validate-cluster.ts";
import { testCluster } from "../testing/fixtures.ts";
import { type ControlGround, openControl } from "./testing/control-ground.ts";

const hash = "h".repeat(50);
const tokens = {
  worker: `SWMTKN-1-${hash}-${"w".repeat(25)}`,
  manager: `SWMTKN-1-${hash}-${"m".repeat(25)}`,
};

async function open(): Promise<ControlGround> {
  const ground = openControl();
  const rootCa = {
    caCert: Buffer.from("certificate"),
    caKey: Buffer.from("KEY"),
    caCertHash: hash,
    joinTokens: tokens,
    rootRotation: { caCert: Buffer.from("next"), caKey: Buffer.from("KEY") },
  };
  const spec = validateClusterSpec(create(ClusterSpecSchema));
  await ground.put("cluster", testCluster({ rootCa, spec }));
  return ground;
}

type Init = MessageInitShape<typeof UpdateClusterRequestSchema>;

/** As `swarmctl cluster update` does it. */
async function update({ client }: ControlGround, { spec = {}, ...rest }: Init) {
  const { cluster } = await client.getCluster({});
  assert.ok(cluster?.spec && cluster.meta?.version);
  const changed = create(ClusterSpecSchema, spec);
  const fields = Object.keys(spec) as (keyof ClusterSpec)[];
  const change = Object.fromEntries(fields.map((field) => [field, changed[field]]));
  const request = { version: cluster.meta.version, ...rest, spec: { ...cluster.spec, ...change } };
  return (await client.updateCluster(create(UpdateClusterRequestSchema, request))).cluster;
}

const autolock = { encryption: { autoLockManagers: true } };

test("cluster, neither key nor token is in what is shown of it", async () => {
  const ground = await open();
  const updated = await update(ground, { spec: autolock });
  for (const cluster of [updated, (await ground.client.getCluster({})).cluster]) {
    assert.equal(cluster?.unlockKey, "");
    assert.equal(cluster?.rootCa?.joinTokens, undefined);
    assert.equal(cluster?.rootCa?.caKey.length, 0);
    assert.equal(cluster?.rootCa?.rootRotation?.caKey.length, 0);
    assert.equal(textOf(cluster?.rootCa?.caCert), "certificate");
  }
  // What is stored is whole.
  assert.equal(textOf(ground.store.list("cluster")[0]?.rootCa?.caKey), "KEY");
});

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

test("join tokens, told to who asks for them, and made new one by one", async () => {
  const ground = await open();
  const read = async () => (await ground.client.getJoinTokens({})).tokens;
  assert.equal((await read())?.worker, tokens.worker);
  await update(ground, { rotateWorkerToken: true });
  const after = await read();
  assert.match(after?.worker ?? "", new RegExp(`^SWMTKN-1-${hash}-[0-9a-z]{25}$`));
  assert.notEqual(after?.worker, tokens.worker);
  assert.equal(after?.manager, tokens.manager);
});

test("unlock key, there is one while managers lock themselves", async () => {
  const ground = await open();
  const read = async () => (await ground.client.getUnlockKey({})).unlockKey;
  assert.equal(await read(), "");
  await assert.rejects(update(ground, { rotateUnlockKey: true }), {
    code: "failed-precondition",
    message: /the managers do not lock themselves/,
  });
  await update(ground, { spec: autolock });
  const first = await read();
  assert.match(first, /^SWMKEY-1-/);
  await update(ground, {});
  assert.equal(await read(), first);
  await update(ground, { rotateUnlockKey: true });
  assert.notEqual(await read(), first);
  await update(ground, { spec: { encryption: { autoLockManagers: false } } });
  assert.equal(await read(), "");
});

test("cluster update, settings change by the version that was read", async () => {
  const ground = await open();
  const dispatcher = { heartbeatPeriod: durationFromMs(500) };
  const updated = await update(ground, { spec: { dispatcher } });
  assert.equal(msFromDuration(updated?.spec?.dispatcher?.heartbeatPeriod, 0), 500);
  await assert.rejects(update(ground, { version: { index: 1n } }), {
    code: "conflict",
    message: "update out of sequence: the cluster is at version 2, not 1; read it again",
  });
});

test("cluster update, whether new networks are encrypted can be changed, and nothing else of networks", async () => {
  const ground = await open();
  const created = async (name: string, options: Record<string, string> = {}) => {
    const spec = { annotations: { name }, driverConfig: { name: "overlay", options } };
    return (await ground.client.createNetwork({ spec })).network?.spec?.encrypted;
  };
  assert.equal(await created("before"), false);
  const network = (await ground.client.getCluster({})).cluster?.spec?.network;
  assert.ok(network);
  await update(ground, { spec: { network: { ...network, encrypted: true } } });
  assert.equal(await created("after"), true);
  assert.equal(await created("open", { encrypted: "false" }), false);
  const other = { ...network, encrypted: true, dataPathPort: 4790 };
  await assert.rejects(update(ground, { spec: { network: other } }), /network cannot be changed/);
});

const refusals: readonly [string, object, RegExp][] = [
  ["a heartbeat of 1 ms", { dispatcher: { heartbeatPeriod: durationFromMs(1) } }, /is 1 ms: use/],
  [
    "certificates for a minute",
    { ca: { nodeCertExpiry: durationFromMs(60_000) } },
    /use 1h to 87600h/,
  ],
  ["a root that is none", { ca: { signingCaCert: Buffer.from("x") } }, /Cannot use the root cert/],
  ["other subnets", { network: { subnetSize: 26 } }, /network cannot be changed/],
  ["another name", { annotations: { name: "other" } }, /annotations.name cannot be changed/],
  [
    "a log driver that there is not",
    { taskDefaults: { logDriver: { name: "x" } } },
    /task_defaults.log_driver: there is no log driver "x"/,
  ],
  [
    "a backup at no time",
    { backup: { folder: "/b" } },
    /backup\.schedule \(--backup-schedule\) is empty/,
  ],
  [
    "backups at a time that there is not",
    { backup: { schedule: "0 25 * * *" } },
    /backup\.schedule \(--backup-schedule\).*"0 25 \* \* \*" has "25" as hour/,
  ],
  [
    "a folder for backups that is not absolute",
    { backup: { schedule: "@daily", folder: "b" } },
    /"b" is not an absolute path/,
  ],
  [
    "a snapshot after each entry",
    { raft: { snapshotInterval: 1n } },
    /raft\.snapshot_interval \(--snapshot-interval\) is 1: use 10 to 10000000, or 0/,
  ],
  [
    "more old snapshots than a disk is for",
    { raft: { keepOldSnapshots: 101n } },
    /raft\.keep_old_snapshots \(--max-snapshots\) is 101: use 0 to 100/,
  ],
  ["Raft's ticks", { raft: { electionTick: 3 } }, /raft.election_tick is not supported/],
];
for (const [what, spec, message] of refusals) {
  test(`cluster update, refuses ${what}`, async () => {
    await assert.rejects(update(await open(), { spec }), { message });
  });
}

test("cluster, the scheduler's settings are kept, and a strategy that there is not is refused", async () => {
  const ground = await open();
  const before = (await ground.client.getCluster({})).cluster?.spec?.scheduling;
  assert.deepEqual(before, create(SchedulingConfigSchema));
  const scheduling = {
    strategy: SchedulingStrategy.BINPACK,
    preemption: true,
    autoRebalance: true,
  };
  const updated = await update(ground, { spec: { scheduling } });
  assert.deepEqual(updated?.spec?.scheduling, create(SchedulingConfigSchema, scheduling));
  // Without a word about them they stay.
  const later = await update(ground, { spec: autolock });
  assert.deepEqual(later?.spec?.scheduling, updated.spec.scheduling);
  const strange = { scheduling: { strategy: 7 as SchedulingStrategy } };
  await assert.rejects(update(ground, { spec: strange }), {
    code: "invalid-argument",
    message: /scheduling\.strategy \(--scheduling-strategy\) is 7/,
  });
});
