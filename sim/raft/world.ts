/** What all parts of one simulation share. */
import type { Entry, ServerId } from "#manager/raft/contract.ts";
import type { Agenda } from "../agenda.ts";
import type { Checks } from "./checks.ts";
import type { MakeCore } from "./core.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import type { Network } from "./network.ts";
import type { Profile } from "./profile.ts";
import type { SeededRandom } from "../random.ts";
import type { Server } from "./server.ts";
import type { Trace } from "../trace.ts";

/** What a driver could do wrong with a core that is right: only the clients can tell. */
export type Defect = "reads without a barrier" | "answers what is only accepted";

export interface World {
  readonly agenda: Agenda;
  readonly random: SeededRandom;
  readonly network: Network;
  readonly checks: Checks;
  readonly marks: Marks<MarkName>;
  readonly trace: Trace;
  readonly profile: Profile;
  readonly makeCore: MakeCore;
  readonly defect: Defect | undefined;
  /** All that ever were, by ID. */
  readonly servers: Map<ServerId, Server>;
  /** Whether things still go wrong. */
  faulty: boolean;
  /** Names requests: no two in a run are the same. */
  nextRequest(): number;
}

/** Entries and messages go through the simulation as they are: who changes them later would change them for all. */
export function freezeEntries(entries: readonly Entry[]): void {
  for (const entry of entries) Object.freeze(entry);
  Object.freeze(entries);
}
