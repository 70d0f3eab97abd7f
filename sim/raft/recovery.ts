/** After the faults: what must come back, and how soon. */
import { electionMsMax } from "./profile.ts";
import type { Server } from "./server.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** For a leader and a write; an election may fail a few times, and a snapshot may have to be sent first. */
const recoverMs = 20 * electionMsMax;
const settleMs = 3 * electionMsMax;
/** How long nothing may happen to the leader then. */
const calmMs = 3 * electionMsMax;
const convergeMs = 20 * electionMsMax;
/** Of a read that is asked when all is well. */
const readMs = 5 * electionMsMax;

interface Run {
  readonly runUntil: (isReached: () => boolean) => void;
  readonly hasWrittenSince: (atMs: number) => boolean;
  readonly stopClients: () => void;
}

export function checkRecovery(world: World, run: Run): void {
  const { agenda, marks } = world;
  const beganAtMs = agenda.nowMs;
  world.network.repair();
  for (const server of world.servers.values()) server.beSlowUntil(0);
  bringUp(world);
  within(
    world,
    run,
    { check: "recovers", ms: recoverMs },
    () => run.hasWrittenSince(beganAtMs) && leaderOf(world) !== undefined,
  );
  // A disk may still be slow, and the first leader have to tell another, older one, or to remove itself.
  const settledAtMs = agenda.nowMs + settleMs;
  run.runUntil(() => agenda.nowMs >= settledAtMs);
  checkCalm(world, run);
  run.stopClients();
  within(world, run, { check: "converges", ms: convergeMs }, () => isConverged(world));
  marks.add("recoveries");
}

/** All go on, but perhaps one: with four voters and more the others can do without it, also while one is being removed. */
function bringUp(world: World): void {
  const { checks, servers, random } = world;
  const voters = checks.membership.members.filter(({ voter }) => voter);
  const without = voters.length >= 4 && random.chance(0.5) ? random.pick(voters)?.id : undefined;
  for (const server of servers.values()) {
    if (server.id === without) server.stop();
    else if (server.life === undefined) server.start();
    else server.resume();
  }
}

function checkCalm(world: World, run: Run): void {
  const { agenda, checks } = world;
  const leader = leaderOf(world);
  const term = leader?.life?.standing.term;
  const endMs = agenda.nowMs + calmMs;
  run.runUntil(() => {
    const now = leaderOf(world);
    if (now !== leader || now?.life?.standing.term !== term) {
      throw new Violation(
        "stays calm",
        `server ${leader?.id} led in term ${term}; now ${now?.id ?? "nobody"} does, and nothing went wrong`,
      );
    }
    return agenda.nowMs >= endMs;
  });
  if (!run.hasWrittenSince(agenda.nowMs - calmMs)) {
    throw new Violation("recovers", `no write for ${calmMs} ms after ${checks.committedIndex}`);
  }
  for (const { id, requests } of world.servers.values()) {
    if (requests !== undefined && requests.oldestReadMs < agenda.nowMs - readMs) {
      throw new Violation("recovers", `server ${id} does not answer a read`);
    }
  }
}

/** Of several, which may be while an old one has not heard of the new one, the newest. */
function leaderOf({ servers }: World): Server | undefined {
  return [...servers.values()]
    .filter(({ isLeader }) => isLeader)
    .sort((left, right) => (right.life?.standing.term ?? 0) - (left.life?.standing.term ?? 0))[0];
}

function isConverged(world: World): boolean {
  const leader = leaderOf(world)?.life?.core;
  return (
    leader !== undefined &&
    leader.membership.members.every(({ id }) => {
      const server = world.servers.get(id);
      return server?.life === undefined || server.appliedIndex === leader.lastIndex;
    })
  );
}

function within(
  world: World,
  run: Run,
  bound: { readonly check: "recovers" | "converges"; readonly ms: number },
  isReached: () => boolean,
): void {
  const { agenda, checks, servers } = world;
  const endMs = agenda.nowMs + bound.ms;
  run.runUntil(() => {
    if (agenda.nowMs <= endMs) return isReached();
    const standings = [...servers.values()].map(({ id, life, appliedIndex }) => {
      const { role = "down", term } = life?.standing ?? {};
      return `  server ${id}: ${role}, term ${term}, last ${life?.core.lastIndex}, applied ${appliedIndex}`;
    });
    throw new Violation(
      bound.check,
      `not after ${bound.ms} ms; ${checks.committedIndex} is committed\n${standings.join("\n")}`,
    );
  });
}
