/**
 * Keeps this manager's files locked with the key that the cluster has now: the log here, the node's own key in swarmd, which
 * is told. Autolock may be turned on, turned off, or get another key at any time, through any manager.
 *
 * A state that was read from the disk may be older than the key that the files have already. So no key is taken from it
 * before it is known to be the newest: else each start could lock the files with an old key, or with none, for a while.
 */
import { Fault } from "#proto/fault.ts";
import type { FromManager } from "#proto/manager-messages.ts";
import type { Clock } from "#proto/ports.ts";
import { clusterOf } from "./cluster.ts";
import type { RaftStorage } from "./log/raft-storage.ts";
import { keyEncryptionOf } from "./open-log.ts";
import type { Log } from "./store/log.ts";
import type { Store } from "./store/store.ts";

/** How soon it is asked again whether the state is the newest, where nobody could say. */
const retryMs = 500;

export interface FileLockModules {
  readonly clock: Clock;
  readonly store: Store;
  readonly replication: Pick<Log, "barrier">;
  readonly storage: Pick<RaftStorage, "rekey">;
  readonly tell: (message: FromManager) => void;
}

export class FileLock implements AsyncDisposable {
  /** Rejects when the log could not be given the new key. */
  readonly failed: Promise<never>;
  readonly #modules: FileLockModules;
  readonly #fail: (fault: Fault) => void;
  readonly #watch: Disposable;
  readonly #stop = new AbortController();
  #unlockKey: string;
  /** One key after the other. */
  #turn: Promise<void>;

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
    this.#turn = this.#untilNewest();
    this.#follow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#watch[Symbol.dispose]();
    await this.#turn;
  }

  #follow(): void {
    this.#turn = this.#turn.then(() => this.#settle()).catch(this.#fail);
  }

  /** Or until it is stopped. */
  async #untilNewest(): Promise<void> {
    const { replication, clock } = this.#modules;
    const { signal } = this.#stop;
    const stopped = new Promise<boolean>((resolve) => {
      signal.addEventListener("abort", () => resolve(true), { once: true });
    });
    const reached = () =>
      replication.barrier().then(
        () => true,
        () => false,
      );
    while (!(await Promise.race([reached(), stopped]))) {
      await clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  async #settle(): Promise<void> {
    if (this.#stop.signal.aborted) return;
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
