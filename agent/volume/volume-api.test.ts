import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CreateVolumeRequestSchema,
  ListVolumesRequestSchema,
  PruneVolumesRequestSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { newId } from "#proto/ids.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../exec.ts";
import { volumeHandlers } from "./volume-api.ts";
import { VolumeStore } from "./volume-store.ts";

async function openStore() {
  const root = mkdtempSync(join(tmpdir(), "swarm-volumes-"));
  const modules = { exec: systemExec, clock: systemClock, random: systemRandom, log: silentLog };
  const store = await VolumeStore.open(root, modules);
  return { store, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

test("volumes, made by name or without, listed with sizes, pruned where nobody has them", async () => {
  using ground = await openStore();
  const { store } = ground;
  // Only what the handlers read of a call.
  const api = volumeHandlers(store) as unknown as {
    [M in keyof ReturnType<typeof volumeHandlers>]: (request: unknown) => Promise<never>;
  };
  const call = <T>(answer: Promise<T>) => answer as Promise<Record<string, unknown>>;
  const make = (name: string, labels: Record<string, string> = {}) =>
    call(api.createVolume(create(CreateVolumeRequestSchema, { name, labels })));
  await make("data", { stage: "test" });
  await make("data");
  await make("used");
  await make("");
  await store.claim(newId(systemRandom), { name: "used" });
  writeFileSync(join(store.mountpointOf("data"), "x"), Buffer.alloc(100_000));
  const listed = await call(api.listVolumes(create(ListVolumesRequestSchema, { withSize: true })));
  const volumes = listed["volumes"] as { name: string; inUse: boolean; sizeBytes: bigint }[];
  const named = new Map(volumes.map((volume) => [volume.name, volume]));
  assert.equal(volumes.length, 3);
  assert.equal(named.get("used")?.inUse, true);
  assert.ok((named.get("data")?.sizeBytes ?? 0n) >= 100_000n);
  const prune = async (all: boolean, labels: Record<string, string> = {}) => {
    const request = create(PruneVolumesRequestSchema, { all, labels });
    return (await call(api.pruneVolumes(request)))["deleted"] as string[];
  };
  assert.match((await prune(false)).join(), /^[0-9a-f]{64}$/);
  assert.deepEqual(await prune(true, { stage: "live" }), []);
  assert.deepEqual(await prune(true), ["data"]);
  assert.deepEqual(
    store.list().map(({ name }) => name),
    ["used"],
  );
});

test("volumes, refused by name: a bad name, another driver, other options, one that is not there", async () => {
  using ground = await openStore();
  const { store } = ground;
  await assert.rejects(store.create({ name: "../x" }), { message: /is not a name for a volume/ });
  await assert.rejects(store.create({ name: "xx", options: { size: "1g" } }), {
    message: /"size" is not an option of the volume driver "local"/,
  });
  await store.create({ name: "xx" });
  const options = { type: "tmpfs", device: "tmpfs" };
  await assert.rejects(store.create({ name: "xx", options }), { code: "failed-precondition" });
  await assert.rejects(store.remove("yy"), { code: "not-found" });
});
