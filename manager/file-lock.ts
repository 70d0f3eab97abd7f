/**
 * Keeps this manager's files locked with the key that the cluster has now: the log here, the node's own key in swarmd, which
 * is told. Autolock may be turned on, turned off, or get another key at any time, through any manager.
 */
import { Fault } from "#proto/fault.ts";
import type { FromManager } from "#proto/manager-messages.ts";
import { clusterOf } from "./cluster.ts";
import type { RaftStorage } from "./log/raft-storage.ts";
import { keyEncryptionOf } from "./open-log.ts";
import type { Store } from "./store/store.ts";

export interface FileLockModules {
  readonly store: Store;
  readonly storage: Pick<RaftStorage, "rekey">;
  readonly tell: (message: FromManager) => void;
}

export class FileLock implements AsyncDisposable {
  /** Rejects when the log could not be given the new key. */
  readonly failed: Promise<never>;
  readonly #modules: FileLockModules;
  readonly #fail: (fault: Fault) => void;
  readonly #watch: Disposable;
  #unlockKey: string;
  /** One key after the other. */
  #turn: Promise<void> = Promise.resolve();

  /** `unlockKey`: what the files are locked with at this moment; empty: nothing. */
  constructor(unlockKey: string, modules: FileLockModules) {
    this.#unlockKey = unlockKey;
    this.#modules = modules;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.failed = promise;
    this.#fail = reject;
    this.#watch = modules.store.watch(({ changes }) => {
      if (changes.some(({ kind }) => kind === "cluster")) this.#follow();
    });
    this.#follow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#turn;
  }

  #follow(): void {
    this.#turn = this.#turn.then(() => this.#settle()).catch(this.#fail);
  }

  async #settle(): Promise<void> {
    const { store, storage, tell } = this.#modules;
    const unlockKey = clusterOf(store)?.unlockKey;
    if (unlockKey === undefined || unlockKey === this.#unlockKey) return;
    try {
      await storage.rekey(keyEncryptionOf(unlockKey));
    } catch (thrown) {
      throw Fault.wrap("Cannot lock the log with the cluster's new key", thrown);
    }
    this.#unlockKey = unlockKey;
    tell({ kind: "unlock-key", unlockKey });
  }
}
