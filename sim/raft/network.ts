/** What is between the servers: it loses, delays, repeats and reorders, and is cut in several ways. */
import type { ServerId } from "#manager/raft/contract.ts";
import type { Agenda } from "../agenda.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import type { Profile } from "./profile.ts";
import type { SeededRandom } from "../random.ts";

/** Longer than an election: what comes this late comes from another time. */
const spikeMs = 3000;

interface Letter {
  readonly from: ServerId;
  readonly to: ServerId;
  /** A call of the driver: lost perhaps, but not repeated. */
  readonly once: boolean;
  readonly deliver: () => void;
}

export class Network {
  readonly #profile: Profile;
  readonly #agenda: Agenda;
  readonly #random: SeededRandom;
  readonly #marks: Marks<MarkName>;
  /** Tells whether the way is cut. */
  #cut: (from: ServerId, to: ServerId) => boolean = () => false;
  #faulty = true;
  /** When the last letter on a way arrives. */
  readonly #lastArrival = new Map<string, number>();

  constructor(
    profile: Profile,
    world: {
      readonly agenda: Agenda;
      readonly random: SeededRandom;
      readonly marks: Marks<MarkName>;
    },
  ) {
    this.#profile = profile;
    this.#agenda = world.agenda;
    this.#random = world.random.fork();
    this.#marks = world.marks;
  }

  cut(isCut: (from: ServerId, to: ServerId) => boolean): void {
    this.#cut = isCut;
  }

  heal(): void {
    this.#cut = () => false;
  }

  /** From here on nothing is lost any more, and nothing comes late. */
  repair(): void {
    this.heal();
    this.#faulty = false;
  }

  send(letter: Letter): void {
    const { lossRate, duplicateRate } = this.#profile;
    if (this.#cut(letter.from, letter.to)) return;
    if (this.#faulty && this.#random.chance(lossRate)) {
      this.#marks.add("messages lost");
      return;
    }
    this.#post(letter);
    if (this.#faulty && !letter.once && this.#random.chance(duplicateRate)) {
      this.#marks.add("messages duplicated");
      this.#post(letter);
    }
  }

  #post(letter: Letter): void {
    const { delayMs, spikeRate, ordered } = this.#profile;
    const spike = this.#faulty && this.#random.chance(spikeRate);
    const delay = this.#random.between(0.2, spike ? spikeMs : delayMs);
    const way = `${letter.from}>${letter.to}`;
    const before = this.#lastArrival.get(way) ?? 0;
    const arrival = this.#agenda.nowMs + delay;
    if (arrival < before && !ordered) this.#marks.add("messages overtaken");
    const atMs = ordered ? Math.max(arrival, before) : arrival;
    this.#lastArrival.set(way, Math.max(before, atMs));
    this.#agenda.at(atMs, () => {
      // What is on its way when the network is cut is lost too.
      if (!this.#cut(letter.from, letter.to)) letter.deliver();
    });
  }
}
