/** What the parts of the simulation share. */
import type { Clock } from "#proto/ports.ts";
import type { Agenda } from "../agenda.ts";
import type { SeededRandom } from "../random.ts";
import type { Checks } from "./checks.ts";
import type { Containers } from "./containers.ts";
import type { Host } from "./host.ts";
import type { Journal } from "./journal.ts";
import type { SimulatedManager } from "./manager.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import type { Profile } from "./profile.ts";
import type { Trace } from "../trace.ts";

export interface World {
  readonly agenda: Agenda;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly marks: Marks<MarkName>;
  readonly trace: Trace;
  readonly profile: Profile;
  readonly journal: Journal;
  readonly checks: Checks;
  readonly containers: Containers;
  /** By node ID. */
  readonly managers: Map<string, SimulatedManager>;
  readonly hosts: Map<string, Host>;
  /** Whether things go wrong by themselves. */
  faulty: boolean;
  /** What broke a promise where nobody could be told; ends the run. */
  failure: Error | undefined;
}

/** A message's way through the network. */
export function hop({ agenda, random }: Pick<World, "agenda" | "random">): Promise<void> {
  return new Promise((resolve) => agenda.after(random.between(0.1, 8), resolve));
}
