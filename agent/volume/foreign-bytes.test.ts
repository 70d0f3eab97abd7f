import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseMountPoints } from "./mount-table.ts";
import { parseVolume } from "./volume-files.ts";

test("mount table, the points of any line, unescaped", () => {
  const text =
    "36 35 98:0 /m /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n24 1 0:22 / /proc rw - proc proc rw\n";
  assert.deepEqual(parseMountPoints(text), ["/mnt/a b", "/proc"]);
  fc.assert(fc.property(fc.string(), (noise) => Array.isArray(parseMountPoints(noise))));
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
