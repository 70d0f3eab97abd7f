/** What the log's two threads say to each other. The worker answers every request, in the order in which they came. */
import type { Code } from "#proto/fault.ts";

export interface LogRecord {
  readonly index: bigint;
  readonly data: Uint8Array;
}

export type LogRequest =
  | { readonly kind: "open"; readonly path: string }
  | { readonly kind: "read-snapshot"; readonly from: number }
  | { readonly kind: "read-entries"; readonly after: bigint }
  | { readonly kind: "append"; readonly records: readonly LogRecord[] }
  | {
      readonly kind: "write-snapshot";
      readonly index: bigint;
      readonly from: number;
      readonly pieces: readonly Uint8Array[];
    }
  | { readonly kind: "finish-snapshot"; readonly index: bigint; readonly pieceCount: number }
  /** Drops some entries that the snapshot covers; the answer says whether there are more. */
  | { readonly kind: "drop-entries" }
  | { readonly kind: "close" };

export type RequestKind = LogRequest["kind"];

export interface Answers {
  /** The newest snapshot's index; 0 without one. */
  readonly open: { readonly snapshotIndex: bigint };
  /** At most a slice; an empty one is the end. */
  readonly "read-snapshot": readonly Uint8Array[];
  readonly "read-entries": readonly LogRecord[];
  readonly append: undefined;
  readonly "write-snapshot": undefined;
  readonly "finish-snapshot": undefined;
  readonly "drop-entries": { readonly more: boolean };
  readonly close: undefined;
}

export type LogReply =
  | { readonly ok: true; readonly answer: Answers[RequestKind] }
  | {
      readonly ok: false;
      readonly code: Code;
      readonly message: string;
      /** What is on disk is in doubt: nothing more may be written before the file was opened anew. */
      readonly fatal: boolean;
    };
