/**
 * The last changes that this manager has seen, with what there was before, for those who ask what happened a while ago. It is
 * this manager's own memory: bounded, and gone with the process.
 */
import type { Clock } from "#proto/ports.ts";
import type { Change } from "../store/objects.ts";
import type { Commit, Store } from "../store/store.ts";
import { withoutData } from "./file-object.ts";

/** Changes of objects, of which each keeps one old version in memory: a few megabytes. */
const changesMax = 2_000;

export interface PastCommit extends Commit {
  readonly atMs: number;
}

export class RecentChanges {
  readonly #clock: Clock;
  readonly #commits: PastCommit[] = [];
  #changeCount = 0;
  /** All that came after this is here. */
  #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.now();
  }

  /** Remembers what the store commits, for as long as there is a store. */
  follow(store: Pick<Store, "watch">): void {
    store.watch((commit) => this.push(commit));
  }

  push({ index, changes }: Commit): void {
    this.#commits.push({ index, changes: changes.map(remembered), atMs: this.#clock.now() });
    this.#changeCount += changes.length;
    while (this.#changeCount > changesMax) {
      const dropped = this.#commits.shift();
      if (dropped === undefined) return;
      this.#changeCount -= dropped.changes.length;
      this.#sinceMs = dropped.atMs;
    }
  }

  /** The commits after `sinceMs`, oldest first, and from when on they are complete. */
  since(sinceMs: number): { readonly commits: readonly PastCommit[]; readonly fromMs: number } {
    const commits = this.#commits.filter(({ atMs }) => atMs > sinceMs);
    return { commits, fromMs: Math.max(sinceMs, this.#sinceMs) };
  }
}

/** Files' data are large, and secrets are to be gone when they are removed. */
function remembered(change: Change): Change {
  const { kind, before, after } = change;
  if (kind !== "secret" && kind !== "config") return change;
  // The kinds of the three agree: they come out of one change.
  return {
    kind,
    before: before && withoutData(before),
    after: after && withoutData(after),
  } as Change;
}

/** What there was before the commits, of what there is after them: each object by its kind and ID. */
export function undo(
  present: ReadonlyMap<string, Present>,
  commits: readonly PastCommit[],
): Map<string, Present> {
  const past = new Map(present);
  for (const { changes } of commits.toReversed()) {
    for (const { kind, before, after } of changes.toReversed()) {
      const key = keyOf(kind, (before ?? after)?.id ?? "");
      if (before === undefined) past.delete(key);
      else past.set(key, { kind, object: before });
    }
  }
  return past;
}

export interface Present {
  readonly kind: Change["kind"];
  readonly object: NonNullable<Change["after"]>;
}

export function keyOf(kind: string, id: string): string {
  return `${kind}/${id}`;
}
