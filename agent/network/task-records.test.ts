import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { NetworkAttachmentSchema, PortConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork } from "#proto/main-network.ts";
import { silentLog } from "#proto/system-ports.ts";
import {
  nameserversByAddress,
  parseRecord,
  serializeRecord,
  type TaskRecord,
  TaskRecords,
} from "./task-records.ts";

const record: TaskRecord = {
  taskId: "abcdefghijklmnopqrstuvwxy",
  attachments: [
    create(NetworkAttachmentSchema, {
      network: localNetwork("bridge"),
      addresses: ["172.17.0.9/16"],
    }),
  ],
  hostPorts: [create(PortConfigSchema, { targetPort: 80, publishedPort: 8080 })],
  nameservers: ["192.0.2.53", "2001:db8::53"],
};

async function openFolder() {
  const folder = await mkdtemp(join(tmpdir(), "task-records-"));
  return {
    folder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

test("task records, what was saved is read by the next agent until it is forgotten", async () => {
  await using place = await openFolder();
  const root = join(place.folder, "tasks");
  const records = new TaskRecords(root, silentLog);
  assert.deepEqual(await records.read(), []);
  await records.save(record);
  assert.deepEqual(await new TaskRecords(root, silentLog).read(), [record]);
  await records.forget([record.taskId, "another"]);
  assert.deepEqual(await readdir(root), []);
});

test("task records, nameservers are found by any address of a task that has its own", () => {
  const dual = create(NetworkAttachmentSchema, { addresses: ["10.0.1.7/24", "fd00:1::7/64"] });
  const named = { ...record, attachments: [...record.attachments, dual] };
  const other = { ...record, attachments: [dual], nameservers: [] };
  const found = nameserversByAddress([named, other]);
  assert.deepEqual([...found.keys()], ["172.17.0.9", "10.0.1.7", "fd00:1::7"]);
  assert.deepEqual(found.get("fd00:1::7"), record.nameservers);
});

test("task records, a file that is damaged or of another task costs its own record alone", async () => {
  await using place = await openFolder();
  const records = new TaskRecords(place.folder, silentLog);
  await records.save(record);
  await writeFile(join(place.folder, "b".repeat(25)), Buffer.from([0x0a, 0xff, 0x01]));
  await writeFile(join(place.folder, "c".repeat(25)), "");
  await writeFile(join(place.folder, "odd name"), "");
  assert.deepEqual(await records.read(), [record]);
});

test("task records, any change of a byte is read or refused, and nothing else happens", () => {
  const bytes = serializeRecord(record);
  assert.deepEqual(parseRecord(bytes), record);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (place, value) => {
      try {
        assert.equal(typeof parseRecord(bytes.with(place, value)).taskId, "string");
      } catch (error) {
        assert(error instanceof Error && error.name !== "AssertionError", String(error));
      }
    }),
  );
});
