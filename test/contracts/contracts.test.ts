/** What `npm run check` asks of the contracts finds what would break a cluster of two versions. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const released = join(root, "test/contracts/released.proto");

interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** What buf says of the contracts with a change, held against the release. */
function said({ file, from, to }: Change): string {
  const folder = mkdtempSync(join(tmpdir(), "swarm-contracts-"));
  try {
    copyFileSync(join(root, "buf.yaml"), join(folder, "buf.yaml"));
    cpSync(join(root, "proto/swarm"), join(folder, "proto/swarm"), { recursive: true });
    cpSync(released, join(folder, "released/released.proto"));
    const path = join(folder, "proto/swarm/v1", file);
    const text = readFileSync(path, "utf8");
    assert.ok(text.includes(from), `${file} has "${from}"`);
    writeFileSync(path, text.replace(from, to));
    const buf = join(root, "node_modules/.bin/buf");
    const { status, stdout } = spawnSync(buf, ["breaking", "--against", "released"], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(status === 0, stdout === "");
    return stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const breaking: readonly (Change & { readonly what: string; readonly says: RegExp })[] = [
  {
    what: "a field that is gone",
    file: "objects.proto",
    from: "  string service_id = 5;\n",
    to: "",
    says: /"service_id" on message "Task" was deleted/,
  },
  {
    what: "a field of another type",
    file: "types.proto",
    from: "  uint32 attempt = 7;",
    to: "  string attempt = 7;",
    says: /"attempt" on message "TaskStatus" changed type/,
  },
  {
    what: "a method that is gone",
    file: "dispatcher.proto",
    from: "  rpc Heartbeat(HeartbeatRequest) returns (HeartbeatResponse);\n",
    to: "",
    says: /RPC "Heartbeat" on service "DispatcherService" was deleted/,
  },
  {
    what: "a value of an enum that is gone",
    file: "types.proto",
    from: "  RUN_STATE_REPLACED = 3;",
    to: "",
    says: /"3" on enum "RunState"/,
  },
];

for (const { what, says, ...change } of breaking) {
  test(`${what} is found to break what was released`, () => {
    assert.match(said(change), says);
  });
}

test("a field that is new breaks nothing", () => {
  const from = "message Annotations {\n";
  assert.equal(said({ file: "types.proto", from, to: `${from}  string newer = 100;\n` }), "");
});
