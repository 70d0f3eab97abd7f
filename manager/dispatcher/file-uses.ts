/**
 * Which node's tasks read which secrets and configs, counted: a node has those alone that it needs, and each only for as
 * long. Tells of a node's key when the first task needs it, when the last one is gone, and when the object itself changed.
 */
import type { FileKey } from "./items.ts";

export interface FileUse {
  readonly nodeId: string;
  readonly keys: ReadonlySet<FileKey>;
}

export class FileUses {
  readonly #tell: (nodeId: string, key: FileKey) => void;
  /** Node → key → number of its tasks that need it. */
  readonly #counts = new Map<string, Map<FileKey, number>>();

  constructor(tell: (nodeId: string, key: FileKey) => void) {
    this.#tell = tell;
  }

  keysOf(nodeId: string): Iterable<FileKey> {
    return this.#counts.get(nodeId)?.keys() ?? [];
  }

  has(nodeId: string, key: FileKey): boolean {
    return this.#counts.get(nodeId)?.has(key) ?? false;
  }

  /** A task's need before a commit and after it. */
  move(before: FileUse | undefined, after: FileUse | undefined): void {
    // The new first: what both need stays without a word.
    if (after !== undefined) for (const key of after.keys) this.#add(after.nodeId, key);
    if (before !== undefined) for (const key of before.keys) this.#remove(before.nodeId, key);
  }

  onChange(key: FileKey): void {
    for (const [nodeId, counts] of this.#counts) if (counts.has(key)) this.#tell(nodeId, key);
  }

  #add(nodeId: string, key: FileKey): void {
    const counts = this.#counts.get(nodeId) ?? new Map<FileKey, number>();
    this.#counts.set(nodeId, counts);
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    if (count === 0) this.#tell(nodeId, key);
  }

  #remove(nodeId: string, key: FileKey): void {
    const counts = this.#counts.get(nodeId);
    const count = counts?.get(key) ?? 0;
    if (count > 1) counts?.set(key, count - 1);
    else {
      counts?.delete(key);
      if (counts?.size === 0) this.#counts.delete(nodeId);
      this.#tell(nodeId, key);
    }
  }
}
