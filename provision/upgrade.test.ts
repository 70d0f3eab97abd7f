import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import type { UpgradePlan } from "./plan-upgrade.ts";
import { PlayedCluster } from "./testing/test-cluster.ts";
import { upgrade } from "./upgrade.ts";

const file = { path: "/p/swarm-0.2.0-linux-x64.tar.gz", version: "0.2.0", arch: "x64" as const };
const names = ["m1", "m2", "m3", "w1", "w2"];

function cluster(): PlayedCluster {
  return new PlayedCluster(
    names.map((name) => ({ name, manager: name.startsWith("m"), version: "0.1.0" })),
  );
}

function planFor({ hosts }: PlayedCluster, ...steps: readonly (readonly string[])[]): UpgradePlan {
  const targets = new Map(
    hosts.map(({ name, nodeId, isManager, state }) => [
      name,
      { name, nodeId, isManager, isLeader: false, from: state.version, file },
    ]),
  );
  const known = steps.map((step) => step.flatMap((name) => targets.get(name) ?? []));
  return { version: "0.2.0", steps: known, done: [], warnings: [], problems: [] };
}

const allSteps = [["m2"], ["m3"], ["m1"], ["w1", "w2"]];

async function run(
  played: PlayedCluster,
  steps = allSteps,
  timeoutMs = 20_000,
): Promise<readonly string[]> {
  const said: string[] = [];
  const options = { timeoutMs, force: false, signal: new AbortController().signal };
  await upgrade(planFor(played, ...steps), options, {
    clock: systemClock,
    remoteOf: (name) => played.host(name),
    managers: ["m1", "m2", "m3"],
    nodeIds: new Set(played.hosts.map(({ nodeId }) => nodeId)),
    onProgress: (host, what) => said.push(`${host}: ${what}`),
  });
  return said;
}

test("an upgrade takes the hosts in the plan's order, each while its silence is excused", async () => {
  using played = cluster();
  const said = await run(played);
  assert.deepEqual(played.installed.slice(0, 3), ["m2", "m3", "m1"]);
  assert.deepEqual(played.installed.slice(3).toSorted(), ["w1", "w2"]);
  assert.deepEqual(played.awaited, Array(5).fill(20_000));
  for (const { state } of played.hosts) {
    assert.equal(state.version, "0.2.0");
    assert.equal(state.awaitedMs, 0);
  }
  assert.deepEqual(said.at(-1)?.replace(/w[12]/, "w"), "w: has 0.2.0");
});

test("an upgrade stops at the first host that does not come back, and no other is touched", async () => {
  using played = cluster();
  const host = played.host("m3");
  host.onInstall = () => {
    host.state.ready = false;
    host.state.version = "0.2.0";
    return { status: 0, stdout: "", stderr: "" };
  };
  await assert.rejects(
    run(played, allSteps, 600),
    /^Fault: m3: it is not back with 0\.2\.0 after 1 s: its node is not ready/,
  );
  assert.deepEqual(played.installed, ["m2", "m3"]);
  // Run again it begins with what is wrong, and changes nothing before that is dealt with.
  await assert.rejects(
    run(played, [["m1"], ["w1", "w2"]], 600),
    /^Fault: m1: the cluster is not well after 1 s: not ready: m3$/,
  );
  assert.deepEqual(played.installed, ["m2", "m3"]);
  host.state.ready = true;
  await run(played, [["m1"], ["w1", "w2"]]);
  assert.equal(played.host("w2").state.version, "0.2.0");
});

test("an upgrade does not touch a manager without which the others would have no majority", async () => {
  using played = cluster();
  played.host("m1").state.reachable = false;
  await assert.rejects(
    run(played, [["m2"]], 600),
    /without it 1 of 3 managers could be reached, and 2 are needed; m1/,
  );
  assert.deepEqual(played.installed, []);
});

test("an upgrade says what a host lacks in the words of its install.sh", async () => {
  using played = cluster();
  const stdout =
    "missing  program:nft: not found\n         apt-get install nftables\n12 checks are fine\n";
  played.host("w1").onInstall = () => ({ status: 3, stdout, stderr: "nothing was changed" });
  await assert.rejects(
    run(played, [["w1"], ["w2"]]),
    /^Fault: w1: Cannot install 0\.2\.0 on w1: the host lacks something: missing program:nft: not found/,
  );
  assert.deepEqual(played.installed, ["w1"]);
});

test("an upgrade fails where a container did not outlive it", async () => {
  using played = cluster();
  const host = played.host("w1");
  host.onInstall = () => {
    host.state.containerId = "another";
    host.state.version = "0.2.0";
    return { status: 0, stdout: "", stderr: "" };
  };
  await assert.rejects(
    run(played, [["w1"]]),
    /the container of a task of web did not outlive the upgrade/,
  );
});

test("an upgrade unlocks managers that lock themselves when they are restarted", async () => {
  using played = cluster();
  played.unlockKey = "SWMKEY-1-secret";
  const host = played.host("m2");
  host.onInstall = (version) => {
    host.state.locked = true;
    host.state.version = version;
    return { status: 0, stdout: "", stderr: "" };
  };
  const said = await run(played, [["m2"]]);
  assert.equal(host.state.locked, false);
  assert.ok(!said.join("\n").includes("SWMKEY"));
});
