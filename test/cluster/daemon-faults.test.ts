/** Daemons that cannot be: a second one in the place of another is refused before it touches anything of the first. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { assertRefuses } from "./refusal.ts";

const image = "registry:5000/busybox:1";

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "daemon-faults", ownedByThisProcess: true });
  host = lab.host("h1");
  view = await ClusterView.open(host);
  await host.run("swarmctl", ["service", "create", "--name", "web", image, "sleep", "1000"]);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

/** The container and the manager of the first swarmd, by process. */
async function witnesses(): Promise<string> {
  const container = view.running("web").map(({ id, status }) => [id, status?.container?.pid]);
  const manager = await host.run("pgrep", ["-f", "[m]anager/main.ts"]);
  const alive = await host.run("pgrep", ["-fx", "sleep 1000"]);
  return JSON.stringify([container, manager, alive]);
}

const roots: readonly (readonly [what: string, data: string, run: string, shared: string])[] = [
  ["one data root", "/var/lib/swarm", "/run/second", 'uses the data root "/var/lib/swarm"'],
  ["one run root", "/run/second", "/run/swarm", 'uses the run root "/run/swarm"'],
  ["both roots", "/var/lib/swarm", "/run/swarm", 'uses the data root "/var/lib/swarm"'],
  ["roots of its own", "/run/second", "/run/third", "runs on this host, with other folders"],
];
for (const [what, data, run, shared] of roots) {
  test(`a second swarmd on ${what} is refused, and the first goes on`, async () => {
    // The identity of a member of a cluster is what makes swarmd clear away strays when it starts.
    await host.run("sh", ["-c", "mkdir -p /run/second && cp /var/lib/swarm/node.json /run/second"]);
    const before = await witnesses();
    await assertRefuses(host, ["swarmd", "--data-root", data, "--run-root", run], {
      status: 1,
      says: `another swarmd ${shared}: stop it first`,
    });
    assert.equal(await witnesses(), before);
    await host.run("swarmctl", ["service", "ps", "web"]);
    await host.run("rm", ["-r", "/run/second"]);
  });
}

test("swarmd that is started wrongly says how to start it", async () => {
  const start = async (...args: readonly string[]) => {
    const { status, stderr } = await host.exec("swarmd", args, { timeoutMs: 5_000 });
    return [status, stderr];
  };
  assert.deepEqual(await start("--data-root", "relative"), [
    2,
    'swarmd: --data-root "relative" is not an absolute path; see swarmd --help\n',
  ]);
  const [status, stderr] = await start("--no-such-flag");
  assert.equal(status, 2);
  assert.match(String(stderr), /^swarmd: .*--no-such-flag.*; see swarmd --help\n$/);
});

test("swarmd whose data root cannot be made says so", async () => {
  await assertRefuses(host, ["swarmd", "--data-root", "/etc/hosts/swarm"], {
    status: 1,
    says: /^Cannot make the data root "\/etc\/hosts\/swarm": it is not a folder/,
  });
});

test("swarmctl on a host where swarmd does not run says so", async () => {
  await host.swarmd.stop();
  await assertRefuses(host, ["swarmctl", "service", "ls"], {
    status: 1,
    says: 'Cannot reach swarmd at "/run/swarm/swarmd.sock": is swarmd running? Start it, or name its run root with --run-root',
  });
});
