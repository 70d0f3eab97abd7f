/**
 * A cluster whose hosts have two versions, one of which has a field that the other does not know, and its way from one to the
 * other and back: what is promised in docs/upgrades.md.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { formCluster } from "#lab/cluster.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { HostReport } from "#proto/host-report.ts";
import { systemClock } from "#proto/system-ports.ts";
import { planUpgrade } from "#provision/plan-upgrade.ts";
import { upgrade } from "#provision/upgrade.ts";
import { LabRemote } from "./lab-remote.ts";
import { infoOf, nodeOf, swarmctl, untilAnswers, untilManagers } from "./managed.ts";
import {
  buildTwoVersions,
  newerVersion,
  newWish,
  olderVersion,
  type TwoVersions,
} from "./other-version.ts";
import { assertRefuses } from "./refusal.ts";
import { SteadyWriter } from "./steady-writer.ts";

const replicas = 6;
const waitMs = 60_000;

let folder: string;
let versions: TwoVersions;
let lab: Lab;
let view: ClusterView;

/** h1 to h3 are managers. h2 and h5 begin with the newer version. */
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "swarm-versions-"));
  versions = buildTwoVersions(folder);
  lab = await Lab.up({
    name: "versions",
    managers: 3,
    workers: 2,
    cluster: false,
    ownedByThisProcess: true,
  });
  for (const host of lab.hosts) {
    const version = host.name === "h2" || host.name === "h5" ? "newer" : "older";
    host.useBundles(versions[version]);
    runs.set(host, version);
  }
  await formCluster(lab.hosts);
  view = await ClusterView.open(...managers());
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
  rmSync(folder, { recursive: true, force: true });
});

function managers(): readonly Host[] {
  return lab.hosts.slice(0, 3);
}

async function allRun(service: string, count = replicas): Promise<void> {
  await view.until(`${service} to run`, () => view.running(service).length === count, waitMs);
}

async function leaderName(asked: Host): Promise<string> {
  const seen = await untilManagers(
    asked,
    "three managers",
    (now) =>
      Object.values(now).filter((word) => word === "Leader" || word === "Reachable").length === 3,
  );
  return Object.keys(seen).find((name) => seen[name] === "Leader") ?? "";
}

type Version = keyof TwoVersions;

/** What each host runs. */
const runs = new Map<Host, Version>();

function managerOf(version: Version): Host {
  const host = managers().find((one) => runs.get(one) === version);
  assert(host !== undefined);
  return host;
}

async function restart(host: Host, version = runs.get(host) ?? "older"): Promise<void> {
  host.useBundles(versions[version]);
  runs.set(host, version);
  await host.swarmd.stop();
  await host.startSwarmd();
  await untilAnswers(host, "node", "ls", "-q");
}

const attemptsMax = 5;

/** Has a manager of this version lead, and one of the other follow: whoever may take over from the leader gets the version. */
async function ledBy(version: Version): Promise<void> {
  for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
    const leader = lab.host(await leaderName(managerOf(version)));
    if (runs.get(leader) === version) return;
    const others = managers().filter((host) => host !== leader && runs.get(host) !== version);
    for (const other of others) await restart(other, version);
    await restart(leader);
  }
  assert.fail(`no manager of the ${version} version leads`);
}

test("managers and agents of two versions are one cluster, whichever of them leads", async () => {
  const seen = Object.fromEntries(
    view.nodes.map(({ description }) => [
      description?.hostname,
      description?.engine?.engineVersion,
    ]),
  );
  assert.deepEqual(seen, {
    h1: olderVersion,
    h2: newerVersion,
    h3: olderVersion,
    h4: olderVersion,
    h5: newerVersion,
  });
  for (const by of ["newer", "older"] as const) {
    await ledBy(by);
    await view.until("all nodes to be ready", () => view.nodes.every(isReady), waitMs);
    const name = `led-by-${by}`;
    const flags = [
      "-d",
      "--name",
      name,
      "--replicas",
      String(replicas),
      "--stop-grace-period",
      "1s",
    ];
    for (const manager of managers()) {
      await swarmctl(manager, "config", "create", `${name}-from-${manager.name}`, "/etc/hostname");
    }
    await swarmctl(
      lab.host("h3"),
      "service",
      "create",
      ...flags,
      "registry:5000/busybox:1",
      "sleep",
      "100000",
    );
    await allRun(name);
    const homes = new Set(view.running(name).map((task) => view.hostnameOf(task)));
    assert.equal(homes.size, lab.hosts.length);
    for (const manager of managers()) {
      const names = await swarmctl(manager, "config", "ls", "--format", "{{.Name}}");
      assert.equal(names.split("\n").filter((one) => one.startsWith(name)).length, 3);
    }
  }
  await swarmctl(managerOf("newer"), "service", "rm", "led-by-newer");
});

const wish = newWish("what no older version knows");

const kept = [`100: ${Buffer.from(wish.data).toString("hex")}`];

async function wishesSeenBy(host: Host, name: string): Promise<readonly string[]> {
  using connection = host.connect("manager");
  const { service } = await connection.service(ControlService).getService({ ref: name });
  const unknown = service?.spec?.annotations?.$unknown ?? [];
  return unknown.map(({ no, data }) => `${no}: ${Buffer.from(data).toString("hex")}`);
}

test("what a newer manager took with a field that is new an older one keeps, shows, runs, and does not let itself change", async () => {
  const [older, newer] = [managerOf("older"), managerOf("newer")];
  const spec = (name: string) => ({
    annotations: {
      $typeName: "swarm.v1.Annotations" as const,
      name,
      labels: {},
      indices: {},
      $unknown: [wish],
    },
    task: {
      runtime: {
        case: "container" as const,
        value: { image: "registry:5000/busybox:1", args: ["sleep", "100000"] },
      },
    },
    mode: { case: "replicated" as const, value: { replicas: 2n } },
  });
  using toOlder = older.connect("manager");
  const refused = toOlder.service(ControlService).createService({ spec: spec("refused") });
  await assert.rejects(
    refused,
    /has the field number 100, which this manager does not know: upgrade the manager/,
  );
  using toNewer = newer.connect("manager");
  await toNewer.service(ControlService).createService({ spec: spec("wishing") });
  await allRun("wishing", 2);
  for (const manager of managers()) assert.deepEqual(await wishesSeenBy(manager, "wishing"), kept);
  await assertRefuses(older, ["swarmctl", "service", "scale", "-d", "wishing=3"], {
    status: 1,
    says: /upgrade the manager/,
  });
  await swarmctl(newer, "service", "scale", "-d", "wishing=3");
  await allRun("wishing", 3);
  // Led by an older one its loops have written the service again.
  await ledBy("older");
  await swarmctl(managerOf("newer"), "service", "update", "-d", "--force", "wishing");
  await view.until(
    "wishing to be updated",
    () => view.service("wishing")?.updateStatus?.message === "update completed",
    waitMs,
  );
  for (const manager of managers()) assert.deepEqual(await wishesSeenBy(manager, "wishing"), kept);
});

/** To the bundles of a version, by the plan that swarmctl makes. */
async function upgradeTo(version: string, allowDowngrade = false): Promise<void> {
  const paths = { [olderVersion]: "/packages/older", [newerVersion]: "/packages/newer" };
  const bundles = new Map([
    [paths[olderVersion], versions.older],
    [paths[newerVersion], versions.newer],
  ] as const);
  const path = version === olderVersion ? paths[olderVersion] : paths[newerVersion];
  const packages = { x64: { path: path ?? "", version, arch: "x64" as const } };
  const remotes = new Map(
    lab.hosts.map((host) => [
      host.name,
      new LabRemote(host, bundles as ReadonlyMap<string, string>),
    ]),
  );
  const hosts = await Promise.all(
    lab.hosts.map(async (host) => {
      const info = await infoOf(host);
      const node = nodeOf(view, host);
      const running = node?.description?.engine?.engineVersion ?? "";
      const facts = { arch: "x64", diskFreeBytes: 1e12, installedVersion: running };
      return {
        host: {
          name: host.name,
          address: host.address,
          isManager: host.role === "manager",
          labels: {},
          runsTasks: true,
          ssh: {},
        },
        report: { checks: [], facts } as unknown as HostReport,
        node: {
          nodeId: info.nodeId ?? "",
          clusterId: info.clusterId ?? "",
          isManager: host.role === "manager",
          isLocked: false,
          version: running,
        },
      };
    }),
  );
  using connection = lab.host("h1").connect("manager");
  const control = connection.service(ControlService);
  const { cluster } = await control.getCluster({});
  const { nodes } = await control.listNodes({});
  assert(cluster?.spec !== undefined);
  const found = { hosts, cluster: { id: cluster.id, spec: cluster.spec, nodes } };
  const plan = planUpgrade(found, { packages, packageBytes: 1, parallel: 2, allowDowngrade });
  assert.deepEqual(plan.problems, []);
  const last = plan.steps
    .flat()
    .filter(({ isManager }) => isManager)
    .at(-1);
  const leader = nodes.find(({ managerStatus }) => managerStatus?.leader)?.description?.hostname;
  if (plan.steps.flat().some(({ name }) => name === leader)) assert.equal(last?.name, leader);
  await upgrade(
    plan,
    { timeoutMs: waitMs, force: allowDowngrade, signal: new AbortController().signal },
    {
      clock: systemClock,
      remoteOf: (name) => {
        const remote = remotes.get(name);
        assert(remote !== undefined);
        return remote;
      },
      managers: managers().map(({ name }) => name),
      nodeIds: new Set(nodes.map(({ id }) => id)),
      onProgress: () => {},
    },
  );
}

/** Of all services, with their processes. */
function containers(): readonly string[] {
  const running = ["led-by-older", "wishing"].flatMap((name) => view.running(name));
  return running.map(({ id, status }) => `${id} ${status?.container?.pid}`).toSorted();
}

function allHave(version: string): boolean {
  const hasIt = ({ description }: Node) => description?.engine?.engineVersion === version;
  return view.nodes.every((node) => hasIt(node) && isReady(node));
}

function isReady({ status }: Node): boolean {
  return status?.state === NodeState.READY;
}

for (const { version, allowDowngrade } of [
  { version: newerVersion, allowDowngrade: false },
  { version: olderVersion, allowDowngrade: true },
]) {
  test(`an upgrade to ${version} loses no write, no container and no field`, async (t) => {
    const before = containers();
    const [h1, h2, h3] = managers();
    assert(h1 !== undefined && h2 !== undefined && h3 !== undefined);
    await using first = new SteadyWriter(version, [h1, h2, h3]);
    await using second = new SteadyWriter(version, [h2, h3, h1]);
    await using third = new SteadyWriter(version, [h3, h1, h2]);
    const writers = [first, second, third];
    await upgradeTo(version, allowDowngrade);
    await Promise.all(writers.map((writer) => writer.end()));
    await view.until(`all to have ${version}`, () => allHave(version), waitMs);
    assert.deepEqual(containers(), before);
    for (const { name, faults, written, longestMs } of writers) {
      t.diagnostic(`${name}: ${written} writes, the longest ${Math.round(longestMs)} ms`);
      assert.deepEqual(faults, [], name);
    }
    const listed = new Set(
      (await swarmctl(h1, "config", "ls", "--format", "{{.Name}}")).split("\n"),
    );
    assert.deepEqual(
      writers.flatMap(({ names }) => names).filter((name) => !listed.has(name)),
      [],
    );
    const seen = await Promise.all(managers().map((manager) => wishesSeenBy(manager, "wishing")));
    for (const wishes of seen) assert.deepEqual(wishes, kept);
  });
}
