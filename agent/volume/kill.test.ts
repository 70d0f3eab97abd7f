/** Whenever swarmd is killed, the next start finds whole volumes, knows who has them, and can free everything. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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

test("volumes, a copy ends with who began it: no later one finds it writing", {
  timeout: 20_000,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "swarm-kill-"));
  const layer = join(root, "layer");
  mkdirSync(join(layer, "data"), { recursive: true });
  const programs = join(root, "programs");
  mkdirSync(programs);
  const held = join(root, "held");
  execFileSync("mkfifo", [held]);
  const copier = '#!/bin/sh\nexec sleep 40 >"$HELD"\n';
  writeFileSync(join(programs, "bsdtar"), copier, { mode: 0o755 });
  const child = spawn(process.execPath, [churn, root, layer], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, PATH: `${programs}:${process.env["PATH"]}`, HELD: held },
  });
  const copiers = createReadStream(held);
  await once(copiers, "open");
  child.kill("SIGKILL");
  copiers.resume();
  await once(copiers, "end");
  rmSync(root, { recursive: true });
});
