/**
 * A manager whose files are locked with different keys, as a crash while the key is changed leaves them: the log first, the
 * node's own key after it.
 */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { infoOf, swarmctl, untilInfo } from "./managed.ts";

let lab: Lab;
let leader: Host;
let host: Host;

before(async () => {
  lab = await Lab.up({ name: "locked-manager", managers: 3, images: [], ownedByThisProcess: true });
  [leader, host] = [lab.host("h1"), lab.host("h3")];
});

after(async () => {
  await lab?.down();
});

const keyPath = () => join(host.dataRoot, "certificates", "node.key");
const savedPath = () => join(host.dataRoot, "saved.key");
const isSealed = () => readFileSync(keyPath(), "utf8").includes("SEALED");

async function autolock(on: boolean): Promise<void> {
  await swarmctl(leader, "cluster", "update", "--autolock", String(on));
  const words = `the node's key to be ${on ? "sealed" : "open"}`;
  await waitFor(words, () => isSealed() === on, { timeoutMs: 10_000 });
}

/** As if it had ended before the node's key was written. */
async function restartWithSavedKey(): Promise<void> {
  await host.swarmd.kill();
  copyFileSync(savedPath(), keyPath());
  await host.startSwarmd();
}

async function unlock(key: string) {
  return await host.exec("sh", ["-c", `echo ${key} | swarmctl cluster unlock`]);
}

test("where the lock was taken off before the crash, the old key opens it for good", async () => {
  await autolock(true);
  const key = await swarmctl(leader, "cluster", "unlock-key", "-q");
  copyFileSync(keyPath(), savedPath());
  await autolock(false);
  await restartWithSavedKey();
  assert.equal((await infoOf(host)).locked, true);
  assert.deepEqual((await unlock(key)).stderr, "");
  await waitFor("the node's key to be open", () => !isSealed(), { timeoutMs: 10_000 });
});

test("a wrong key seals nothing, and a manager that is demoted while locked needs none", async () => {
  copyFileSync(keyPath(), savedPath());
  await autolock(true);
  await restartWithSavedKey();
  await untilInfo(host, "to be locked", ({ locked }) => locked === true);
  assert.match((await unlock(newUnlockKey(systemRandom))).stderr, /the unlock key is wrong/);
  await swarmctl(leader, "node", "demote", (await infoOf(host)).nodeId ?? "");
  await untilInfo(
    host,
    "to be a worker",
    ({ role, locked }) => role !== "NODE_ROLE_MANAGER" && !locked,
  );
  await waitFor("its log to be gone", () => !existsSync(join(host.dataRoot, "manager")), {
    timeoutMs: 10_000,
  });
  assert.equal(isSealed(), false);
  await host.swarmd.kill();
  await host.startSwarmd();
  await untilInfo(host, "to be in the cluster", ({ connected }) => connected === true);
});
