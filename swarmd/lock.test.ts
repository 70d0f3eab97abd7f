import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { lockFolder, lockHost } from "./lock.ts";

const timeout = 15_000;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "swarm-lock-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("lock, a second holder is refused until the first lets go", (t) => {
  const root = join(folderOf(t), "data");
  const first = lockFolder(root, "data root");
  assert.equal(statSync(join(root, "swarmd.lock")).mode & 0o777, 0o600);
  assert.throws(() => lockFolder(root, "data root"), {
    code: "failed-precondition",
    message: `another swarmd uses the data root "${root}": stop it first`,
  });
  first[Symbol.dispose]();
  lockFolder(root, "data root")[Symbol.dispose]();
});

test("lock, is free again when its holder was killed", { timeout }, async (t) => {
  const root = folderOf(t);
  const module = JSON.stringify(new URL("./lock.ts", import.meta.url).href);
  const script = `
    const { lockFolder } = await import(${module});
    globalThis.lock = lockFolder(${JSON.stringify(root)}, "data root");
    console.log("locked");
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  assert.throws(() => lockFolder(root, "data root"), { code: "failed-precondition" });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  lockFolder(root, "data root")[Symbol.dispose]();
});

test("lock, a file that is no lock is told", (t) => {
  const root = folderOf(t);
  writeFileSync(
    join(root, "swarmd.lock"),
    "something else, longer than a header of SQLite".repeat(10),
  );
  assert.throws(() => lockFolder(root, "data root"), { message: /^Cannot lock the data root "/ });
});

test("lock, one host has one holder, whatever its folders, until that lets go", async () => {
  const first = await lockHost();
  await assert.rejects(lockHost(), {
    code: "failed-precondition",
    message: "another swarmd runs on this host, with other folders: stop it first",
  });
  await first[Symbol.asyncDispose]();
  await (await lockHost())[Symbol.asyncDispose]();
});
