import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { missingParts } from "./support.ts";

const here = fileURLToPath(import.meta.url);
const good = {
  release: "6.1.0-18-amd64",
  endianness: "LE",
  btfPath: here,
  objectPath: here,
} as const;

function execWithout(...absent: readonly string[]): Exec {
  return {
    run: (command) =>
      absent.includes(command)
        ? Promise.reject(new Fault("not-found", `there is no ${command}`))
        : Promise.resolve({ stdout: "", stderr: "" }),
    start: () => assert.fail("nothing is started"),
  };
}

test("fast path, a host that has all of it lacks nothing", async () => {
  assert.deepEqual(await missingParts(good, execWithout()), []);
  assert.deepEqual(await missingParts({ ...good, release: "5.18.0" }, execWithout()), []);
});

test("fast path, each part that lacks is named", async () => {
  const lacking = {
    release: "5.17.9",
    endianness: "BE",
    btfPath: "/no/btf",
    objectPath: "/no/o",
  } as const;
  const missing = await missingParts(lacking, execWithout("bpftool", "tc"));
  assert.equal(missing.length, 6);
  for (const [index, word] of [
    "5.17.9",
    "little-endian",
    "/no/btf",
    "bpftool",
    "tc",
    "/no/o",
  ].entries()) {
    assert.match(missing[index] ?? "", new RegExp(word));
  }
});

test("fast path, an older major version is older whatever its minor", async () => {
  const missing = await missingParts({ ...good, release: "4.19.0" }, execWithout());
  assert.deepEqual(missing, ["Linux 5.18 or later (this is 4.19.0)"]);
});
