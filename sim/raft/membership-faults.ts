/** Servers come and go: what an operator does at bad moments. */
import type { MembershipChange } from "#manager/raft/contract.ts";
import { Server } from "./server.ts";
import type { SeededRandom } from "../random.ts";
import type { World } from "./world.ts";

const votersMax = 7;
const serversMax = 12;

export function changeMembership(world: World, random: SeededRandom, server: Server): void {
  const change = drawChange(world, random, server);
  if (change === undefined) return;
  server.receive(() =>
    server.requests?.change(change, (accepted) => {
      if (accepted && change.kind === "add-learner") startEmpty(world, change.id);
    }),
  );
}

function drawChange(
  world: World,
  random: SeededRandom,
  server: Server,
): MembershipChange | undefined {
  const members = server.life?.core.membership.members ?? [];
  const voters = members.filter(({ voter }) => voter);
  const learners = members.filter(({ voter }) => !voter);
  switch (learners.length > 0 && random.chance(0.5) ? 1 : random.int(3)) {
    case 0: {
      // One that was removed must not come back.
      const back = random.chance(0.2)
        ? random.pick(server.life?.core.membership.removed ?? [])
        : undefined;
      if (back !== undefined) return { kind: "add-learner", id: back, context: "" };
      if (voters.length >= votersMax || world.servers.size >= serversMax) return undefined;
      return { kind: "add-learner", id: world.servers.size + 1, context: "" };
    }
    case 1: {
      const id = random.pick(learners)?.id;
      return id === undefined ? undefined : { kind: "promote", id };
    }
    default: {
      const leaves = random.chance(0.3) ? server : random.pick(members);
      // Of two voters, one may go only when the other is there to agree: a few seeds are to find that out.
      if (leaves === undefined || (voters.length <= 2 && random.chance(0.8))) return undefined;
      return { kind: "remove", id: leaves.id };
    }
  }
}

/** It knows nobody, and waits until the leader speaks to it. */
function startEmpty(world: World, id: number): void {
  // Another leader accepted it before, and lost it.
  if (world.servers.has(id)) return;
  const meta = { index: 0, term: 0, membership: { members: [], removed: [] } };
  const server = new Server(id, world, { meta, chunks: [] });
  world.servers.set(id, server);
  server.start();
}
