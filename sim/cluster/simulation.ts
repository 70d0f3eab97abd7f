/**
 * One run from one seed: managers, hosts and users while things go wrong, and then while nothing does any more. Then every
 * service has to come to what its spec says, within a bound, and nothing may be written after that.
 */
import { create } from "@bufbuild/protobuf";
import { ClusterSchema, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  IpFamily,
  type NodeDescription,
  NodeDescriptionSchema,
  NetworkSchema,
  NodeMembership,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { Agenda } from "../agenda.ts";
import { SeededRandom } from "../random.ts";
import { type RunResult, type Simulation, traceLinesMax } from "../seeds.ts";
import { Checks } from "./checks.ts";
import { Containers } from "./containers.ts";
import { findDivergence } from "./convergence.ts";
import { Faults } from "./faults.ts";
import { Host } from "./host.ts";
import { Journal } from "./journal.ts";
import { SimulatedManager } from "./manager.ts";
import { Marks } from "../marks.ts";
import { type MarkName, markNames } from "./marks.ts";
import { simulatedClock } from "./ports.ts";
import { drawProfile } from "./profile.ts";
import { networkName, zones } from "./specs.ts";
import { Trace } from "../trace.ts";
import { settle } from "./turn.ts";
import { Users } from "./users.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** Until all is as wanted: updates go slot by slot, and restarts pause. */
const convergeMs = 600_000;
/** So long nothing may be written then. */
const calmMs = 30_000;
/** Of parts that go round in circles without any time passing. */
const eventsMax = 2_000_000;
const memoryBytes = 1_000_000_000n;

export const clusterSimulation: Simulation<MarkName> = { name: "cluster", markNames, runSeed };

async function runSeed(seed: number): Promise<RunResult<MarkName>> {
  const world = createWorld(new SeededRandom(seed));
  let violation: Violation | undefined;
  try {
    await live(world);
  } catch (thrown) {
    violation =
      thrown instanceof Violation
        ? thrown
        : new Violation(
            "the leader goes on",
            thrown instanceof Error ? thrown.message : "",
            thrown,
          );
  }
  for (const host of world.hosts.values()) host.stop();
  for (const manager of world.managers.values()) manager.kill();
  const { agenda, marks, profile, journal, trace } = world;
  marks.add("entries committed", journal.entries.length);
  const failure = violation && { violation, trace: trace.format() };
  return { seed, profile, events: agenda.events, marks, failure };
}

function createWorld(random: SeededRandom): World {
  const agenda = new Agenda();
  const marks = new Marks<MarkName>();
  const profile = drawProfile(random);
  const trace = new Trace(traceLinesMax, () => agenda.nowMs);
  const journal = new Journal({ agenda, random: random.fork(), marks });
  const clock = simulatedClock(agenda);
  const checks = new Checks({ marks, trace, now: () => clock.now() });
  const world: World = {
    agenda,
    clock,
    random,
    marks,
    trace,
    profile,
    journal,
    checks,
    containers: new Containers({ agenda, random }, (container, others) =>
      checks.onStart(container, others, newestStore(world)),
    ),
    managers: new Map(),
    hosts: new Map(),
    faulty: true,
    failure: undefined,
  };
  for (let number = 1; number <= profile.managers; number += 1) {
    const nodeId = `manager${number}`;
    world.managers.set(nodeId, new SimulatedManager(nodeId, world));
  }
  for (let number = 1; number <= profile.hosts; number += 1) {
    const nodeId = `node${number}`;
    world.hosts.set(nodeId, new Host(nodeId, describe(number), world));
  }
  return world;
}

/** That of the manager that has applied most. */
function newestStore({ managers }: World) {
  const up = [...managers.values()].filter(({ isUp }) => isUp);
  return up.toSorted((a, b) => b.seat.applied - a.seat.applied)[0]?.store;
}

function describe(number: number): NodeDescription {
  return create(NodeDescriptionSchema, {
    hostname: `h${number}`,
    platform: { os: "linux", architecture: "amd64" },
    resources: { nanoCpus: 4_000_000_000n, memoryBytes },
    dataPathAddress: `192.0.2.${number}`,
    addresses: [`192.0.2.${number}`],
  });
}

async function live(world: World): Promise<void> {
  const { agenda, profile, managers } = world;
  for (const manager of managers.values()) await manager.start();
  const faults = new Faults(world);
  faults.elect();
  await runUntil(world, () => [...managers.values()].some(({ seat }) => seat.leading));
  await found(world);
  for (const host of world.hosts.values()) host.start();
  const users = new Users(world);
  users.start();
  faults.start();
  await runUntil(world, () => agenda.nowMs >= profile.chaosMs);
  world.faulty = false;
  world.trace.add("fault", () => "nothing goes wrong any more");
  await faults.mendAll();
  let isMended = false;
  void users.mend().then(() => {
    isMended = true;
  });
  await runUntil(world, () => isMended);
  await converge(world);
}

async function found(world: World): Promise<void> {
  const leader = [...world.managers.values()].find(({ seat }) => seat.leading);
  let isDone = false;
  const nodes = [...world.hosts.keys()].map((id, index) =>
    create(NodeSchema, {
      id,
      number: index + 1,
      spec: {
        annotations: { labels: { zone: zones[index % zones.length] ?? "a" } },
        membership: NodeMembership.ACCEPTED,
      },
      description: describe(index + 1),
    }),
  );
  const cluster = create(ClusterSchema, {
    id: "cluster",
    spec: { annotations: { name: "default" }, scheduling: world.profile.scheduling },
  });
  const ingress = create(NetworkSchema, {
    id: "ingress",
    spec: { annotations: { name: "ingress" }, ingress: true, driverConfig: { name: "overlay" } },
    ipam: { configs: [{ family: IpFamily.IPV4, subnet: "10.0.0.0/20", gateway: "10.0.0.1" }] },
  });
  const network = create(NetworkSchema, {
    id: "network",
    spec: { annotations: { name: networkName }, driverConfig: { name: "overlay" } },
  });
  void leader?.store
    .write(() => [
      { action: "create", kind: "cluster", object: cluster },
      ...nodes.map((object) => ({ action: "create", kind: "node", object }) as const),
      { action: "create", kind: "network", object: ingress },
      { action: "create", kind: "network", object: network },
    ])
    .then(() => {
      isDone = true;
    });
  await runUntil(world, () => isDone);
}

async function converge(world: World): Promise<void> {
  const { agenda, marks, containers, journal } = world;
  const endMs = agenda.nowMs + convergeMs;
  let problem: string | undefined = "";
  while (problem !== undefined) {
    if (agenda.nowMs > endMs) {
      throw new Violation("converges", `after ${convergeMs / 1000} s without faults: ${problem}`);
    }
    const untilMs = agenda.nowMs + 500;
    await runUntil(world, () => agenda.nowMs >= untilMs);
    const store = newestStore(world);
    problem = store === undefined ? "no manager" : findDivergence(store, containers.running);
  }
  // What was under way when the last piece fell into place comes to its end, rebalances of nodes that came back among it.
  await runFor(world, 120_000);
  const { length } = journal.entries;
  await runFor(world, calmMs);
  if (journal.entries.length !== length) {
    const more = journal.entries.length - length;
    throw new Violation("stays calm", `${more} entries are written though nothing changes`);
  }
  const store = newestStore(world);
  const again = store === undefined ? "no manager" : findDivergence(store, containers.running);
  if (again !== undefined) throw new Violation("converges", `and diverged again: ${again}`);
  marks.add("convergences");
}

function runFor(world: World, ms: number): Promise<void> {
  const untilMs = world.agenda.nowMs + ms;
  return runUntil(world, () => world.agenda.nowMs >= untilMs);
}

async function runUntil(world: World, isReached: () => boolean): Promise<void> {
  const { agenda, checks } = world;
  await settle();
  while (!isReached()) {
    if (!agenda.runNext() || agenda.events > eventsMax) {
      throw new Violation("converges", `nothing goes on after ${agenda.nowMs.toFixed(0)} ms`);
    }
    await settle();
    if (checks.failure !== undefined) throw checks.failure;
    if (world.failure !== undefined) throw world.failure;
  }
}
