/**
 * What a client did and what came of it, as the clients write it on their output: one line of JSON each, when it is over.
 *
 * A register is an object of the cluster, and its value a number of its own for every write: a config's data, 0 where there
 * is no such config; or a service's label, which is changed by compare-and-set, for an update names the version that was
 * read.
 */
export interface Operation {
  readonly client: string;
  /** The address of the manager that was asked. */
  readonly manager: string;
  readonly register: string;
  readonly request: Request;
  /** Counted by all clients together. */
  readonly calledAt: number;
  readonly returnedAt: number;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly outcome: Outcome;
}

export type Request =
  | { readonly kind: "read" }
  | { readonly kind: "compare-and-set"; readonly expected: number; readonly value: number };

export type Outcome =
  /** What was there before. */
  | { readonly kind: "done"; readonly seen: number }
  /** It has certainly not taken place. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "unknown"; readonly why: string }
  /** Nobody should be answered this. */
  | { readonly kind: "wrong"; readonly why: string };
