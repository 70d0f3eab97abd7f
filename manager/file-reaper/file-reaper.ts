/** The loop that removes secrets and configs that were rotated, once nobody needs them. */
import type { Ports } from "#proto/ports.ts";
import { Loop } from "../loop.ts";
import type { Change } from "../store/objects.ts";
import type { Store } from "../store/store.ts";
import { isAlive } from "../task.ts";
import { planFileReap } from "./plan-file-reap.ts";

/** It looks at every task: that of an update come one after the other, and the last one is what counts. */
const gatherMs = 1_000;

export interface FileReaperModules extends Ports {
  readonly store: Store;
}

export class FileReaper implements AsyncDisposable {
  readonly #loop: Loop;
  readonly #watch: Disposable;
  /** The IDs of what was rotated and is still there. */
  readonly #rotated = new Set<string>();

  constructor(modules: FileReaperModules) {
    const { store } = modules;
    const round = async () => {
      await store.write(planFileReap);
      return undefined;
    };
    this.#loop = new Loop({ name: "file reaper", gatherMs, round }, modules);
    this.#watch = store.watch(({ changes }) => {
      if (changes.some((change) => this.#mayFree(change))) this.#loop.wake();
    });
    for (const { id, rotatedFrom } of [...store.list("secret"), ...store.list("config")]) {
      if (rotatedFrom !== "") this.#rotated.add(id);
    }
    if (this.#rotated.size > 0) this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #mayFree(change: Change): boolean {
    if (change.kind === "secret" || change.kind === "config") return this.#onFile(change);
    if (this.#rotated.size === 0) return false;
    if (change.kind === "service") return true;
    return change.kind === "task" && (change.after === undefined || !isAlive(change.after));
  }

  #onFile({ before, after }: Extract<Change, { kind: "secret" | "config" }>): boolean {
    if (after === undefined) {
      if (before !== undefined) this.#rotated.delete(before.id);
      return false;
    }
    if (after.rotatedFrom === "") return false;
    this.#rotated.add(after.id);
    return true;
  }
}
