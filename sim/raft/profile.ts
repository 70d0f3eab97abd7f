/** What kind of world a seed makes. Each leaves some faults out, so that the others get further. */
import type { SeededRandom } from "../random.ts";

const faultKinds = [
  "crash",
  "crash-many",
  "partition",
  "pause",
  "slow-disk",
  "disconnected",
  "membership",
  "transfer",
  "step-down",
  "burst",
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface Profile {
  readonly servers: number;
  readonly clients: number;
  readonly keys: number;
  /** How long things go wrong. */
  readonly chaosMs: number;
  readonly faults: readonly FaultKind[];
  /** The longest time from one fault to the next. */
  readonly faultEveryMs: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
  readonly delayMs: number;
  readonly spikeRate: number;
  /** Whether messages between two servers stay in order, as in one connection. */
  readonly ordered: boolean;
  readonly syncMs: number;
  readonly applyMs: number;
  /** How far a server's clock is from running right: 0.1 is 10 %. */
  readonly drift: number;
  readonly thinkMs: number;
  /** A snapshot after so many entries. */
  readonly snapshotEvery: number;
  readonly trailingEntries: number;
  readonly inflightMessagesMax: number;
  readonly appendBytesMax: number;
}

export const heartbeatMs = 50;
export const electionMsMin = 150;
export const electionMsMax = 1200;

export function drawProfile(random: SeededRandom): Profile {
  const rough = random.chance(0.5);
  const faults = faultKinds.filter(() => random.chance(0.6));
  return {
    servers: random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5]) ?? 3,
    clients: 2 + random.int(4),
    keys: 1 + random.int(3),
    chaosMs: random.between(4000, 12_000),
    faults: faults.length === 0 ? [...faultKinds] : faults,
    faultEveryMs: random.pick([150, 400, 800, 1500]) ?? 800,
    lossRate: rough ? random.between(0, 0.15) : 0,
    duplicateRate: rough ? random.between(0, 0.1) : 0,
    delayMs: random.pick([1, 5, 20]) ?? 5,
    spikeRate: random.chance(0.5) ? random.between(0, 0.05) : 0,
    ordered: !rough,
    syncMs: random.pick([0.5, 5, 30, 120]) ?? 5,
    applyMs: random.pick([0, 1, 20]) ?? 1,
    drift: random.chance(0.3) ? 0.2 : 0.01,
    thinkMs: random.pick([1, 5, 20, 60]) ?? 20,
    snapshotEvery: random.pick([5, 12, 30, 1000]) ?? 12,
    trailingEntries: random.pick([0, 2, 10]) ?? 2,
    inflightMessagesMax: random.pick([1, 2, 16]) ?? 16,
    appendBytesMax: random.pick([1, 150, 10_000]) ?? 150,
  };
}
