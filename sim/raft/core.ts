/** The part under test, as the simulation sees it. The mutations hand in changed copies of it. */
import type {
  Durable,
  Event,
  Membership,
  Options,
  Output,
  Standing,
} from "#manager/raft/contract.ts";

export interface Core {
  step(event: Event, nowMs: number): Output;
  readonly standing: Standing;
  /** The latest in its log. */
  readonly membership: Membership;
  readonly commitIndex: number;
  readonly lastIndex: number;
}

export type MakeCore = (options: Options, durable: Durable, nowMs: number) => Core;
