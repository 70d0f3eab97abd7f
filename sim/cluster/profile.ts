/** How large a run's world is, and how rough. */
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import type { SeededRandom } from "../random.ts";

export interface Profile {
  readonly managers: number;
  readonly hosts: number;
  /** How long things go wrong. */
  readonly chaosMs: number;
  /** The mean time between two faults, and between two wishes of users. */
  readonly faultEveryMs: number;
  readonly wishEveryMs: number;
  readonly servicesMax: number;
  /** Of containers: how many of those that may fail do. */
  readonly failureChance: number;
  readonly scheduling: {
    readonly strategy: SchedulingStrategy;
    readonly preemption: boolean;
    readonly autoRebalance: boolean;
  };
}

export function drawProfile(random: SeededRandom): Profile {
  return {
    managers: random.chance(0.3) ? 1 : 3,
    hosts: 2 + random.int(4),
    chaosMs: random.between(20_000, 60_000),
    faultEveryMs: random.between(1_500, 15_000),
    wishEveryMs: random.between(1_500, 8_000),
    servicesMax: 1 + random.int(5),
    failureChance: random.between(0, 0.4),
    scheduling: {
      strategy: random.chance(0.7) ? SchedulingStrategy.SPREAD : SchedulingStrategy.BINPACK,
      preemption: random.chance(0.4),
      autoRebalance: random.chance(0.4),
    },
  };
}
