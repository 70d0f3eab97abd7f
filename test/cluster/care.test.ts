/** The care that a cluster needs: backups by schedule, a look at how it is, its way back from a lost host, and its end. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import type { FileHost } from "#provision/cluster-file/cluster-file.ts";
import { type DestroyPorts, destroy, lookAtHosts } from "#provision/destroy.ts";
import { planDestroy } from "#provision/plan-destroy.ts";
import type { Remote } from "#provision/remote.ts";
import { joinToken, swarmctl, untilAnswers, untilManagers } from "./managed.ts";
import { assertRefuses } from "./refusal.ts";

const waitMs = 60_000;
const folder = "/var/lib/swarm/backups";

let lab: Lab;
let h1: Host;
let h2: Host;
let h3: Host;
let worker: Host;

before(async () => {
  lab = await Lab.up({
    name: "care-test",
    managers: 3,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  [h1, h2, h3, worker] = [lab.host("h1"), lab.host("h2"), lab.host("h3"), lab.host("h4")];
  const image = ["--stop-grace-period", "1s", "registry:5000/busybox:1", "sleep", "100000"];
  await swarmctl(h1, "service", "create", "--name", "web", "--replicas", "4", ...image);
});

after(async () => {
  await lab?.down();
});

interface Status {
  readonly healthy: boolean;
  readonly problems: readonly { readonly host: string | null; readonly problem: string }[];
  readonly hosts: readonly {
    readonly name: string;
    readonly lastBackup: string | null;
    readonly backupError: string | null;
    readonly diskFreeBytes: number | null;
    readonly certificateExpiresAt: string | null;
  }[];
}

async function statusOf(host: Host): Promise<Status & { readonly code: number | undefined }> {
  const args = ["cluster", "status", "--format", "json"];
  const { status, stdout, stderr } = await host.exec("swarmctl", args);
  assert.notEqual(stdout, "", stderr);
  return { ...(JSON.parse(stdout) as Status), code: status ?? undefined };
}

async function untilStatus(host: Host, what: string, isSo: (status: Status) => boolean) {
  const look = async () => {
    const status = await statusOf(host);
    return isSo(status) && status;
  };
  return await waitFor(`the status to say ${what}`, look, { timeoutMs: waitMs });
}

const backupsOf = (host: Host) => readdirSync(join(host.dataRoot, "backups")).toSorted();

test("every manager writes backups of its own, and the status says which", async () => {
  const settings = ["--backup-schedule", "@daily", "--backup-folder", folder, "--backup-keep", "2"];
  await swarmctl(h1, "cluster", "update", ...settings);
  const { hosts } = await untilStatus(h2, "that three managers have backups", (status) => {
    return status.hosts.filter(({ lastBackup }) => lastBackup).length === 3;
  });
  for (const host of [h1, h2, h3]) {
    const [name = "", ...others] = backupsOf(host);
    assert.deepEqual(others, []);
    const said = hosts.find((one) => one.name === host.name);
    assert.equal(said?.lastBackup, join(folder, name));
    assert.equal(statSync(join(host.dataRoot, "backups", name)).mode & 0o777, 0o600);
  }
  assert.equal(hosts.find(({ name }) => name === "h4")?.lastBackup, null);
  for (const host of hosts) {
    assert.ok(Number(host.diskFreeBytes) > 0, `${host.name} does not say how full its disk is`);
    assert.ok(Date.parse(host.certificateExpiresAt ?? "") > Date.now());
  }
});

test("a folder that cannot be written is said by one manager, and hurts nothing else", async () => {
  const other = "/var/lib/swarm/other";
  writeFileSync(join(h2.dataRoot, "other"), "a file where the folder should be");
  await swarmctl(h1, "cluster", "update", "--backup-folder", other);
  const { problems } = await untilStatus(h1, "that h2 has a problem", (status) =>
    status.problems.some(({ host }) => host === "h2"),
  );
  const ofBackups = problems.filter(({ problem }) => problem.includes("backup"));
  assert.deepEqual(
    ofBackups.map(({ host }) => host),
    ["h2"],
  );
  assert.match(ofBackups[0]?.problem ?? "", /^h2 writes no backups, .*other/);
  rmSync(join(h2.dataRoot, "other"));
  // Whoever changes the schedule wants it tried now.
  await swarmctl(h1, "cluster", "update", "--backup-folder", folder, "--backup-keep", "3");
  await untilStatus(h1, "that backups are well", (status) =>
    status.problems.every(({ problem }) => !problem.includes("backup")),
  );
});

test("a host that is lost is named, with exit status 1", async () => {
  await h3.kill();
  const status = await untilStatus(h1, "that h3 is down", ({ problems }) =>
    problems.some(({ problem }) => problem.startsWith("h3 is down, and its manager")),
  );
  assert.equal(status.healthy, false);
  assert.equal((await statusOf(h1)).code, 1);
  await h3.start();
  await untilManagers(h1, "h3 again", (seen) => seen["h3"] === "Reachable");
});

test("a scheduled backup of one lost manager makes the cluster anew on a fresh host, with the key of those that lock themselves", async () => {
  const words = await swarmctl(h1, "cluster", "update", "--autolock");
  const [key = ""] = /SWMKEY-1-\S{43}/.exec(words) ?? [];
  // Sealed backups go where there is none yet, so the first is due.
  await swarmctl(h1, "cluster", "update", "--backup-folder", "/var/lib/swarm/sealed");
  const { hosts } = await untilStatus(h1, "that h2 has a sealed backup", (status) =>
    status.hosts.some((one) => one.name === "h2" && one.lastBackup?.includes("sealed")),
  );
  const path = hosts.find((one) => one.name === "h2")?.lastBackup ?? "";
  const saved = join(worker.dataRoot, "..", `${worker.name}.saved`);
  copyFileSync(join(h2.dataRoot, "sealed", basename(path)), saved);
  for (const host of [h1, h2, h3]) await host.kill();
  await swarmctl(worker, "cluster", "leave", "--force");
  mkdirSync(worker.dataRoot, { recursive: true });
  copyFileSync(saved, join(worker.dataRoot, "saved"));
  rmSync(saved);
  const restore = ["cluster", "restore", "/var/lib/swarm/saved"];
  await assertRefuses(worker, ["swarmctl", ...restore], { status: 1, says: /, with --unlock$/ });
  const said = await worker.run("swarmctl", [...restore, "--unlock"], { input: `${key}\n` });
  assert.match(said, /is its only manager/);
  using view = await ClusterView.open(worker);
  await view.until("web to run", () => view.running("web").length === 4, waitMs);
  // The restored manager keeps to the schedule, too.
  await untilStatus(worker, "that there is a backup", ({ hosts }) =>
    hosts.some(({ lastBackup }) => lastBackup !== null),
  );
});

/** Hosts of the lab as destroy sees hosts. */
function portsOf(hosts: readonly Host[]): DestroyPorts & { readonly told: readonly string[] } {
  const told: string[] = [];
  const remoteOf = ({ name }: FileHost): Remote => {
    const host = hosts.find((one) => one.name === name);
    assert.ok(host);
    return {
      name,
      run: async ([program = "", ...args], { input = "" } = {}) => {
        const { status, stdout, stderr } = await host.exec(program, args, { input });
        return { status: status ?? 255, stdout, stderr };
      },
      copy: () => Promise.reject(new Error("nothing is copied")),
      socket: () => Promise.reject(new Error("no socket is asked for")),
      [Symbol.asyncDispose]: async () => {},
    };
  };
  const onHost: DestroyPorts["onHost"] = ({ name }, what) => told.push(`${name}: ${what}`);
  return { signal: new AbortController().signal, onHost, remoteOf, told };
}

const ofUs =
  "ip -br link | grep -E '^(swv-|sw-vx|sw-wg)'; nft list tables | grep swarm; ip rule | grep 115; ls /run/netns; pgrep -l conmon; ls -A /var/lib/swarm /run/swarm 2>&1 | grep -v ':$\\|^$\\|No such'";

test("destroy leaves nothing on the hosts, also where swarmd was killed and its containers run", async () => {
  await h1.start();
  await swarmctl(h1, "cluster", "leave", "--force");
  const token = await joinToken(worker, "worker");
  await swarmctl(h1, "cluster", "join", "--token", token, worker.address);
  await swarmctl(worker, "service", "scale", "web=8");
  const containers = async () => (await h1.exec("pgrep", ["conmon"])).stdout.trim() !== "";
  await waitFor("h1 to have containers", containers, { timeoutMs: waitMs });
  await untilAnswers(worker, "node", "ls");
  await h1.swarmd.kill();
  assert.ok(await containers());
  const hosts = [worker, h1];
  const file = hosts.map(({ name }): FileHost => {
    return { address: name, name, isManager: false, runsTasks: true, ssh: {} };
  });
  const ports = portsOf(hosts);
  const wish = { keepPackage: true };
  const plan = planDestroy(await lookAtHosts(file, ports), wish);
  assert.deepEqual(
    [plan.workers, plan.managers].map((some) => some.map(({ host }) => host.name)),
    [["h1"], ["h4"]],
  );
  assert.deepEqual(await destroy(plan, wish, ports), []);
  for (const host of hosts) {
    assert.equal(
      (await host.exec("sh", ["-c", ofUs])).stdout,
      "",
      `something is left on ${host.name}`,
    );
  }
  const again = planDestroy(await lookAtHosts(file, ports), wish);
  assert.equal(again.blank.length, 2);
});
