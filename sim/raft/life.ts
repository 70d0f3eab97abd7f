import type { ServerId } from "#manager/raft/contract.ts";
import type { Core } from "./core.ts";
import type { Disk } from "./disk.ts";
import type { LogImage } from "./log-image.ts";

/** One life of a server, from its start to its crash. */
export interface Life {
  readonly id: ServerId;
  readonly core: Core;
  readonly disk: Disk;
  /** What the core has in memory, from what it asked to be written. */
  readonly log: LogImage;
  wasLeader: boolean;
  standing: Core["standing"];
  hardState: { readonly term: number; readonly votedFor: ServerId | undefined };
  commitIndex: number;
  /** The last index that was given out to be applied. */
  deliveredIndex: number;
  persistNumber: number;
  /** When each other server last answered this one in its term. */
  readonly contactMs: Map<ServerId, number>;
  /** Since when it runs, and leads: nobody could answer before. */
  attentiveSinceMs: number;
}
