/** Whenever swarmd is killed, the next start finds whole volumes, knows who has them, and can free everything. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../exec.ts";
import { readMountPoints } from "./mount-table.ts";
import { VolumeStore } from "./volume-store.ts";

const churn = fileURLToPath(import.meta.resolve("./testing/churn.ts"));
const kills = 8;

test("volumes, a kill at any moment leaves none half made, and nothing that cannot be freed", {
  timeout: 120_000,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "swarm-kill-"));
  const layer = join(root, "layer");
  mkdirSync(join(layer, "data"), { recursive: true });
  for (const name of ["a", "b", "c"])
    writeFileSync(join(layer, "data", name), name.repeat(100_000));
  const folder = join(root, "volumes");
  const modules = { exec: systemExec, clock: systemClock, random: systemRandom, log: silentLog };
  for (let turn = 0; turn < kills; turn++) {
    const child = spawn(process.execPath, [churn, root, layer], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    await once(child.stdout, "data");
    await systemClock.sleep(systemRandom.int(250));
    child.kill("SIGKILL");
    await exited;
    const store = await VolumeStore.open(folder, modules);
    const names = store.list().map(({ name }) => name);
    assert.deepEqual(
      readdirSync(folder)
        .filter((name) => name !== ".uses")
        .toSorted(),
      names.toSorted(),
    );
    for (const name of names) assert.ok(existsSync(store.mountpointOf(name)), name);
    // An anonymous volume always has an owner, or nobody would ever remove it.
    for (const name of names.filter((one) => /^[0-9a-f]{64}$/.test(one))) {
      assert.equal(store.usersOf(name).length, 1);
    }
    for (const task of store.tasks()) await store.release(task, "all");
    assert.deepEqual(
      (await readMountPoints()).filter((point) => point.startsWith(root)),
      [],
    );
    for (const { name } of store.list()) await store.remove(name);
    assert.deepEqual(readdirSync(folder), [".uses"]);
    assert.deepEqual(readdirSync(join(folder, ".uses")), []);
  }
  rmSync(root, { recursive: true });
});
