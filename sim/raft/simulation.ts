/**
 * One run from one seed. First things go wrong for some seconds; then nothing does any more, most servers are up, and the
 * core has to have a leader, take writes, keep its leader, and make all logs equal.
 */
import type { Membership } from "#manager/raft/contract.ts";
import { Agenda } from "../agenda.ts";
import { Checks } from "./checks.ts";
import { Client } from "./client.ts";
import type { MakeCore } from "./core.ts";
import { Faults } from "./faults.ts";
import { History } from "./history.ts";
import { Marks } from "../marks.ts";
import { type MarkName, markNames } from "./marks.ts";
import { Network } from "./network.ts";
import { drawProfile, type Profile } from "./profile.ts";
import { SeededRandom } from "../random.ts";
import { type Failure, type RunResult, type Simulation, traceLinesMax } from "../seeds.ts";
import { Trace } from "../trace.ts";
import { checkRecovery } from "./recovery.ts";
import { Server } from "./server.ts";
import { Violation } from "./violation.ts";
import type { Defect, World } from "./world.ts";

/** Of a core that goes round in circles without any time passing. */
const eventsMax = 2_000_000;

interface RunOptions {
  readonly makeCore: MakeCore;
  /** How many of the last events a failure shows. */
  readonly traceLines: number;
  readonly defect?: Defect;
}

export function raftSimulation(makeCore: MakeCore): Simulation<MarkName> {
  const options = { makeCore, traceLines: traceLinesMax };
  return { name: "raft", markNames, runSeed: (seed) => runSeed(seed, options) };
}

export function runSeed(seed: number, options: RunOptions): RunResult<MarkName> {
  const random = new SeededRandom(seed);
  const profile = drawProfile(random);
  const world = createWorld(random, profile, options);
  let failure: Failure | undefined;
  try {
    live(world);
  } catch (thrown) {
    if (!(thrown instanceof Violation)) throw thrown;
    failure = { violation: thrown, trace: world.trace.format() };
  }
  return { seed, profile, events: world.agenda.events, marks: world.marks, failure };
}

function createWorld(random: SeededRandom, profile: Profile, options: RunOptions): World {
  const agenda = new Agenda();
  const marks = new Marks<MarkName>();
  const members = Array.from({ length: profile.servers }, (_, place) => ({
    id: place + 1,
    voter: true,
    context: "",
  }));
  const membership: Membership = { members, removed: [] };
  let requests = 0;
  const world: World = {
    agenda,
    random,
    network: new Network(profile, { agenda, random, marks }),
    checks: new Checks(membership, marks),
    marks,
    trace: new Trace(options.traceLines, () => agenda.nowMs),
    profile,
    makeCore: options.makeCore,
    defect: options.defect,
    servers: new Map(),
    faulty: true,
    nextRequest: () => {
      requests += 1;
      return requests;
    },
  };
  for (const { id } of members) {
    const meta = { index: 0, term: 0, membership };
    world.servers.set(id, new Server(id, world, { meta, chunks: [] }));
  }
  return world;
}

function live(world: World): void {
  const { agenda, profile, servers } = world;
  const history = new History();
  let lastWriteAtMs = 0;
  const clients = Array.from(
    { length: profile.clients },
    () =>
      new Client(world, history, (request, outcome) => {
        if (request.kind !== "read" && outcome.kind === "done") lastWriteAtMs = agenda.nowMs;
      }),
  );
  for (const server of servers.values()) server.start();
  for (const client of clients) client.start();
  new Faults(world, history).start();
  runUntil(world, () => agenda.nowMs >= profile.chaosMs);
  world.faulty = false;
  checkRecovery(world, {
    runUntil: (isReached) => runUntil(world, isReached),
    hasWrittenSince: (atMs) => lastWriteAtMs > atMs,
    stopClients: () => {
      for (const client of clients) client.stop();
    },
  });
  checkKept(world, history);
  history.check();
}

function runUntil(world: World, isReached: () => boolean): void {
  const { agenda } = world;
  while (!isReached()) {
    if (!agenda.runNext() || agenda.events > eventsMax) {
      throw new Violation("recovers", `nothing goes on after ${agenda.nowMs.toFixed(0)} ms`);
    }
  }
}

/** Every write that was acknowledged is in the log, once. */
function checkKept({ checks }: World, history: History): void {
  for (const { request, returned } of history.operations) {
    if (request.kind === "read" || returned === undefined) continue;
    const isKept = checks.isKept(request.operation);
    if (isKept === (returned.outcome.kind === "done")) continue;
    throw new Violation(
      "acknowledged is kept",
      `operation ${request.operation} was ${returned.outcome.kind} and is ${isKept ? "" : "not "}in the log`,
    );
  }
}
