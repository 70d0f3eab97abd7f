/** What goes wrong, and when. Draws from the kinds that the profile allows; everything it breaks for good is time. */
import type { ServerId } from "#manager/raft/contract.ts";
import { burst } from "./client.ts";
import type { History } from "./history.ts";
import { changeMembership } from "./membership-faults.ts";
import type { FaultKind } from "./profile.ts";
import type { SeededRandom } from "../random.ts";
import type { Server } from "./server.ts";
import type { World } from "./world.ts";

const downMsMax = 3000;
const pauseMsMax = 4000;
const slowDiskMsMax = 2500;
const cutMsMax = 4000;
const shortCutMsMax = 500;
const burstMax = 30;

export class Faults {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #history: History;
  #cuts = 0;

  constructor(world: World, history: History) {
    this.#world = world;
    this.#history = history;
    this.#random = world.random.fork();
  }

  start(): void {
    this.#next();
  }

  #next(): void {
    const { agenda, profile } = this.#world;
    agenda.after(this.#random.between(0, profile.faultEveryMs), () => {
      if (!this.#world.faulty) return;
      const kind = this.#random.pick(profile.faults);
      if (kind !== undefined) this.#make(kind);
      this.#next();
    });
  }

  #make(kind: FaultKind): void {
    const up = [...this.#world.servers.values()].filter(({ life }) => life !== undefined);
    const leader = up.find(({ isLeader }) => isLeader);
    // What hits the leader hurts most.
    const victim =
      leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick(up);
    if (victim === undefined) return;
    switch (kind) {
      case "crash":
        return this.#crash(victim);
      case "crash-many":
        for (const server of up) if (this.#random.chance(0.7)) this.#crash(server);
        return;
      case "partition":
        return this.#cut(this.#drawCut(up, leader));
      case "pause":
        this.#world.marks.add("pauses");
        return victim.pause(this.#random.between(10, pauseMsMax));
      case "slow-disk":
        this.#world.marks.add("slow disks");
        return victim.beSlowUntil(
          this.#world.agenda.nowMs + this.#random.between(100, slowDiskMsMax),
        );
      case "disconnected":
        // Both are up: it is not so, or the connection is there again.
        return this.#tellBroken(victim.id, up, "broken connections told wrongly");
      case "membership":
        // Others refuse it.
        return changeMembership(this.#world, this.#random, leader ?? victim);
      case "transfer":
        return this.#transfer(victim, up);
      case "step-down":
        this.#world.marks.add("step-downs");
        return victim.receive(() => victim.step({ kind: "step-down" }));
      case "burst":
        return this.#burst(leader ?? victim);
    }
  }

  #crash(server: Server): void {
    const { agenda, servers } = this.#world;
    server.crash();
    const others = [...servers.values()].filter(({ life }) => life !== undefined);
    if (this.#random.chance(0.7)) this.#tellBroken(server.id, others, "broken connections told");
    agenda.after(this.#random.between(5, downMsMax), () => {
      if (this.#world.faulty && server.life === undefined) server.start();
    });
  }

  #tellBroken(
    id: ServerId,
    listeners: readonly Server[],
    mark: "broken connections told" | "broken connections told wrongly",
  ): void {
    for (const server of listeners) {
      if (server.id === id || this.#random.chance(0.3)) continue;
      this.#world.agenda.after(this.#random.between(0, 20), () =>
        server.receive(() => {
          this.#world.marks.add(mark);
          server.step({ kind: "disconnected", server: id });
        }),
      );
    }
  }

  #transfer(victim: Server, up: readonly Server[]): void {
    const to = this.#random.chance(0.5) ? undefined : this.#random.pick(up)?.id;
    victim.receive(() => {
      if (victim.isLeader) this.#world.marks.add("transfers asked for");
      victim.step({ kind: "transfer", to });
    });
  }

  /** Many entries that nobody else has, when they matter most. */
  #burst(leader: Server): void {
    this.#world.marks.add("bursts of writes");
    burst(this.#world, this.#history, leader, 1 + this.#random.int(burstMax));
    const afterMs = this.#random.between(0, 10);
    this.#world.agenda.after(afterMs, () => {
      if (!this.#world.faulty) return;
      if (this.#random.chance(0.4)) this.#cut((from, to) => from === leader.id || to === leader.id);
      else if (this.#random.chance(0.5)) this.#crash(leader);
    });
  }

  #cut(isCut: (from: ServerId, to: ServerId) => boolean): void {
    const { network, agenda } = this.#world;
    network.cut(isCut);
    this.#cuts += 1;
    const cut = this.#cuts;
    const longestMs = this.#random.chance(0.4) ? shortCutMsMax : cutMsMax;
    agenda.after(this.#random.between(50, longestMs), () => {
      if (cut === this.#cuts) network.heal();
    });
  }

  #drawCut(
    up: readonly Server[],
    leader: Server | undefined,
  ): (from: ServerId, to: ServerId) => boolean {
    const { marks } = this.#world;
    const ids = this.#random.shuffled(up.map(({ id }) => id));
    const half = new Set(ids.slice(0, Math.floor(ids.length / 2)));
    const one = ids[0];
    switch (this.#random.int(5)) {
      case 0:
        marks.add("halves cut apart");
        return (from, to) => half.has(from) !== half.has(to);
      case 1:
        marks.add("servers cut off");
        return (from, to) => from === one || to === one;
      case 2:
        if (leader !== undefined) marks.add("leaders cut off");
        return (from, to) => from === leader?.id || to === leader?.id;
      case 3: {
        marks.add("one-way cuts");
        const ways = new Set(
          ids
            .flatMap((from) => ids.map((to) => `${from}>${to}`))
            .filter(() => this.#random.chance(0.3)),
        );
        return (from, to) => ways.has(`${from}>${to}`);
      }
      default:
        // Both sides hear one server, and not each other.
        marks.add("bridges between two sides");
        return (from, to) =>
          from !== ids.at(-1) && to !== ids.at(-1) && half.has(from) !== half.has(to);
    }
  }
}
