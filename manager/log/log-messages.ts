/** What the log's two threads say to each other. The worker answers every request, in the order in which they came. */
import type { Code } from "#proto/fault.ts";
import type { HardState, Membership, SnapshotMeta } from "../raft/contract.ts";
import type { KeyEncryption } from "./data-key.ts";
import type { EntryPack } from "./entry-pack.ts";

/** One life of the log, and this server in it. */
export interface Life {
  readonly group: string;
  readonly serverId: number;
}

export interface LogPlace {
  readonly path: string;
  readonly keyEncryption: KeyEncryption;
}

export interface LogChunk {
  readonly data: Uint8Array;
  readonly last: boolean;
}

/** What of one `Persist` there is, to be done in this order. */
export interface PersistStep {
  readonly chunk?: {
    readonly meta: SnapshotMeta;
    readonly chunk: number;
    readonly data: Uint8Array;
  };
  readonly install?: SnapshotMeta;
  readonly hardState?: HardState;
  readonly entries?: EntryPack;
}

/** What a file holds, without its entries and chunks. */
export interface LogHead extends Life {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly firstIndex: number;
  /** One before the first in an empty log. */
  readonly lastIndex: number;
}

export type LogRequest =
  /** Makes a file under another name, with no chunk yet; "publish" gives it its own and closes it. */
  | ({ readonly kind: "create"; readonly life: Life; readonly snapshot: SnapshotMeta } & LogPlace)
  | { readonly kind: "publish" }
  | ({ readonly kind: "open" } & LogPlace)
  /** Some of the entries that follow `after`. */
  | { readonly kind: "read-entries"; readonly after: number }
  /** All or nothing. */
  | { readonly kind: "persist"; readonly steps: readonly PersistStep[] }
  /** Answers with the new snapshot's number in the file. */
  | { readonly kind: "begin-snapshot" }
  | {
      readonly kind: "write-chunk";
      readonly snapshot: number;
      readonly chunk: number;
      readonly data: Uint8Array;
    }
  | { readonly kind: "finish-snapshot"; readonly snapshot: number; readonly meta: SnapshotMeta }
  | { readonly kind: "abandon-snapshot"; readonly snapshot: number }
  /** How many snapshots are kept behind the newest, from now on. */
  | { readonly kind: "keep-snapshots"; readonly count: number }
  /** Drops some chunks that belong to no snapshot any more. */
  | { readonly kind: "drop-chunks" }
  | { readonly kind: "read-chunk"; readonly index: number; readonly chunk: number }
  /** Drops some entries up to this one. */
  | { readonly kind: "drop-entries"; readonly upTo: number }
  | { readonly kind: "rekey"; readonly keyEncryption: KeyEncryption }
  /** Begins a new life: appends this membership. */
  | { readonly kind: "renew"; readonly life: Life; readonly membership: Membership }
  | { readonly kind: "close" };

export type RequestKind = LogRequest["kind"];

export interface Answers {
  readonly create: undefined;
  readonly publish: undefined;
  readonly open: LogHead;
  readonly "read-entries": EntryPack;
  readonly persist: undefined;
  readonly "begin-snapshot": number;
  readonly "write-chunk": undefined;
  readonly "finish-snapshot": undefined;
  readonly "abandon-snapshot": undefined;
  readonly "keep-snapshots": undefined;
  readonly "drop-chunks": { readonly more: boolean };
  readonly "read-chunk": LogChunk | undefined;
  readonly "drop-entries": { readonly more: boolean };
  readonly rekey: undefined;
  readonly renew: undefined;
  readonly close: undefined;
}

export type LogReply =
  | { readonly ok: true; readonly answer: Answers[RequestKind] }
  | {
      readonly ok: false;
      readonly code: Code;
      readonly message: string;
      readonly locked: boolean;
      /** What is on disk is in doubt: nothing more may be written before the file was opened anew. */
      readonly fatal: boolean;
    };

/** Blocks of memory in a message, which are handed over and not copied. Whoever sends it looks at them no more. */
export function blocksOf(message: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(message)) {
    const { buffer, byteLength } = message;
    // A part of a larger block, such as Node's pool of small buffers, is not the sender's to give.
    const whole =
      buffer instanceof ArrayBuffer && byteLength > 0 && byteLength === buffer.byteLength;
    return whole ? [buffer] : [];
  }
  if (typeof message !== "object" || message === null) return [];
  return Object.values(message).flatMap(blocksOf);
}
