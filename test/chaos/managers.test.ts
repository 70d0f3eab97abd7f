/**
 * Managers as real processes that are killed, cut off, stopped and restarted for two minutes, while clients write and read
 * through whichever of them: nothing that was acknowledged is lost, one order explains all that clients saw, and those who
 * are not hurt notice nothing.
 *
 * What happens is drawn from a seed, which is printed; CHAOS_SEED takes it again. Real processes take their own time: the
 * same seed draws the same faults, not the same run.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, test } from "node:test";
import { median } from "#bench/samples.ts";
import { waitFor } from "#lab/wait.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { SeededRandom } from "#sim/random.ts";
import { Clients } from "./clients.ts";
import { ChaosCluster } from "./cluster.ts";
import { Faults, type Injected, leaderKill } from "./faults.ts";
import { violations, writableAfter } from "./history.ts";
import { NodeWatch } from "./node-watch.ts";
import type { Operation } from "./operation.ts";
import type { Control } from "./registers.ts";
import { alarms, MemoryWatch } from "./vital-signs.ts";

const chaosMs = 120_000;
const timeoutMs = 290_000;
const killsMin = 20;
const writableMs = 1_000;
/** Twice what they take. */
const managerMbMax = 450;
const swarmdMbMax = 300;
const services = ["register-1", "register-2", "register-3"];

const seed = Number(process.env["CHAOS_SEED"] ?? randomInt(2 ** 32));

let cluster: ChaosCluster;

before(async () => {
  cluster = await ChaosCluster.up();
});

after(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

test(`managers, killed and cut off for two minutes (CHAOS_SEED=${seed})`, {
  timeout: timeoutMs,
}, async (t) => {
  const say = (line: string) => t.diagnostic(line);
  process.stdout.write(`chaos: CHAOS_SEED=${seed} draws the same again\n`);
  const random = new SeededRandom(seed);
  await cluster.startService();
  for (const name of services) await cluster.createService(name, 0);
  const tasksBefore = await cluster.webTasks();
  const target = await cluster.target();

  await using nodes = new NodeWatch(cluster);
  using memory = new MemoryWatch([...cluster.managers, ...cluster.workers]);
  using clients = new Clients(cluster.client, { seed, target, services });
  const { operations } = clients;
  await waitFor("the first writes", () => operations.length > 100, { timeoutMs: 10_000 });

  const startedAt = performance.now();
  const at = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  const faults = new Faults(cluster, random, ({ kind, hosts }) =>
    say(`${at()}: ${kind}, ${hosts.join(" and ")}`),
  );
  await faults.run(chaosMs, killsMin);
  await cluster.allWell();
  await clients.finish();
  say(`${at()}: all are well`);

  const { injected } = faults;
  for (const line of summary(operations, injected)) say(line);
  const largest = memory.processes.toSorted((a, b) => b.maxMb - a.maxMb).slice(0, 3);
  for (const { name, maxMb } of largest) say(`${name} took up to ${maxMb} MiB`);
  const kills = injected.filter(({ kind }) => kind === leaderKill);
  const failovers = kills.map(({ atMs }) => writableAfter(operations, atMs));
  const unexcused = nodes.downs.filter(({ hostname, atMs }) => !faults.excuses(hostname, atMs));

  assert.deepEqual(violations(operations, seed), [], `seed ${seed}`);
  assert.deepEqual(operations.filter(({ outcome }) => outcome.kind === "wrong").slice(0, 10), []);
  assert.deepEqual(unexcused, []);
  assert.deepEqual(containers(await cluster.webTasks()), containers(tasksBefore));
  await assertEqualStores();
  assert.deepEqual([...cluster.managers, ...cluster.workers].flatMap(alarms), []);
  assert.ok(kills.length >= killsMin, `${kills.length} leaders were killed`);
  assert.ok(median(failovers) <= writableMs, `writable again after ${failovers.join(", ")} ms`);
  for (const { name, maxMb } of memory.processes) {
    const limitMb = name.endsWith("manager") ? managerMbMax : swarmdMbMax;
    assert.ok(maxMb <= limitMb, `${name} took ${maxMb} MiB`);
  }
});

/** What a restart would change. */
function containers(tasks: readonly Task[]): readonly string[] {
  return tasks.map(({ id, slot, status }) =>
    [`slot ${slot}`, id, `attempt ${status?.attempt}`, `pid ${status?.container?.pid}`].join(", "),
  );
}

/** Without clients nothing changes any more, so all come to the same state; each is asked for what it has. */
async function assertEqualStores(): Promise<void> {
  const lists = async (control: Control) =>
    JSON.stringify(
      [
        (await control.listNodes({})).nodes,
        (await control.listServices({})).services,
        (await control.listTasks({})).tasks,
        (await control.listNetworks({})).networks,
        (await control.listConfigs({})).configs,
      ].map((list) => list.toSorted((a, b) => (a.id < b.id ? -1 : 1))),
      (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value),
    );
  let states: readonly string[] = [];
  const equal = async () => {
    states = await Promise.all(
      cluster.managers.map((host) => cluster.ask(host, lists, { stale: true })),
    );
    return new Set(states).size === 1;
  };
  await waitFor("all managers to hold the same", equal, { timeoutMs: 10_000 }).catch(() => {});
  for (const state of states) assert.deepEqual(JSON.parse(state), JSON.parse(states[0] ?? ""));
}

function summary(operations: readonly Operation[], injected: readonly Injected[]): string[] {
  const outcomes = Map.groupBy(operations, ({ request, outcome }) =>
    [request.kind, outcome.kind].join(" "),
  );
  const counts = [...outcomes].map(([what, { length }]) => `${length} ${what}`);
  const kinds = Map.groupBy(injected, ({ kind }) => kind);
  return [
    `operations: ${counts.join(", ")}`,
    ...[...kinds].map(([kind, faults]) => {
      const times = faults.map(({ atMs }) => writableAfter(operations, atMs));
      return `${kind}: ${times.length} times, the next write after ${times.join(", ")} ms`;
    }),
  ];
}
