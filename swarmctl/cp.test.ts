/** How files are packed that are copied into containers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pack } from "./cp.ts";

const folder = mkdtempSync(join(tmpdir(), "swarmctl-cp-"));
after(() => rmSync(folder, { recursive: true }));

const strange = "a;b|c&[d]*.^$,\\e'\"";

async function names(path: string, name: string): Promise<string[]> {
  const input = Buffer.concat(await Array.fromAsync(pack(path, name)));
  const { stdout, status } = spawnSync("tar", ["-t", "--quoting-style=literal"], { input });
  assert.equal(status, 0);
  return stdout.toString().trim().split("\n");
}

test("cp, names of any kind are packed as they are, or as they are wanted", async () => {
  mkdirSync(join(folder, strange));
  writeFileSync(join(folder, strange, strange), "");
  for (const name of [strange, "plain", `more${strange}`]) {
    const expected = [`./${name}/`, `./${name}/${strange}`];
    assert.deepEqual(await names(join(folder, strange), name), expected);
  }
});
