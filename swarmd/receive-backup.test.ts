import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type RestoreClusterRequest,
  RestoreClusterRequestSchema,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { receiveBackup } from "./receive-backup.ts";

async function* requests(
  ...inits: readonly MessageInitShape<typeof RestoreClusterRequestSchema>[]
): AsyncGenerator<RestoreClusterRequest> {
  for (const init of inits) yield create(RestoreClusterRequestSchema, init);
}

test("receiving a backup, the file has all pieces in order, the first message the options", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "swarm-backup-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "backup");
  const options = await receiveBackup(
    requests(
      { listenAddress: "0.0.0.0:1", unlockKey: "K", data: Buffer.from("one ") },
      { listenAddress: "0.0.0.0:2", data: Buffer.from("two ") },
      { data: Buffer.from("three") },
    ),
    path,
  );
  assert.equal(readFileSync(path, "utf8"), "one two three");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const { listenAddress, unlockKey } = options;
  assert.deepEqual([listenAddress, unlockKey], ["0.0.0.0:1", "K"]);
  await assert.rejects(receiveBackup(requests(), path), { code: "invalid-argument" });
});
