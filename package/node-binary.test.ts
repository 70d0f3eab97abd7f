import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import binaries from "./node-binaries.json" with { type: "json" };

test("node binaries, their digests are those of the version that the sources run with", async () => {
  const path = new URL("../package-lock.json", import.meta.url);
  const lock = JSON.parse(await readFile(path, "utf8")) as {
    packages: Record<string, { version: string } | undefined>;
  };
  assert.equal(
    binaries.version,
    lock.packages["node_modules/node"]?.version,
    "write the new version and its dist.integrity (npm view node-linux-ARCH) into package/node-binaries.json",
  );
});
