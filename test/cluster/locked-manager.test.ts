/** A manager whose log is locked and whose certificate is not, as a crash leaves them: the log comes first. */
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

/** As if it had ended before the node's key was written. */
async function restartWithSavedKey(): Promise<void> {
  await host.swarmd.kill();
  copyFileSync(savedPath(), keyPath());
  await host.startSwarmd();
}

async function unlock(key: string) {
  return await host.exec("sh", ["-c", `echo ${key} | swarmctl cluster unlock`]);
}

test("a wrong key seals nothing, and a manager that is demoted while locked needs none", async () => {
  copyFileSync(keyPath(), savedPath());
  await swarmctl(leader, "cluster", "update", "--autolock", "true");
  await waitFor("the node's key to be sealed", isSealed, { timeoutMs: 10_000 });
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
