import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { mountOf, parseMountTable } from "./mount-table.ts";
import { parseVolume } from "./volume-files.ts";

test("mount table, the points of any line, unescaped", () => {
  const text =
    "36 35 98:0 /m /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n24 1 0:22 / /proc rw shared:5 - proc proc rw\n";
  const mounts = parseMountTable(text);
  assert.deepEqual(mounts, [
    { point: "/mnt/a b", shared: false, slave: true },
    { point: "/proc", shared: true, slave: false },
  ]);
  assert.equal(mountOf("/mnt/a b/c", mounts)?.point, "/mnt/a b");
  assert.equal(mountOf("/mnt/a bc", mounts), undefined);
  fc.assert(fc.property(fc.string(), (noise) => Array.isArray(parseMountTable(noise))));
});

test("volume file, any text is a volume of that name, or a Fault", () => {
  const volume = { name: "data", options: { type: "nfs" }, labels: {}, createdAtMs: 7 };
  assert.deepEqual(parseVolume("data", JSON.stringify(volume)), volume);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.json().map((json) => `{"name":${json}}`),
      ),
      (text) => {
        try {
          assert.equal(parseVolume("data", text).name, "data");
        } catch (thrown) {
          assert.ok(thrown instanceof Fault);
        }
      },
    ),
  );
});
