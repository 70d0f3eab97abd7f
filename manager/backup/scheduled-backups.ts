/**
 * Writes this manager's backups when the cluster's schedule says so, and tells the cluster in the node's manager status how
 * that went. Runs on every manager, whether or not it leads, so that no lost host takes all backups with it.
 *
 * What is due follows from the newest file: a manager that was away at the time makes up for it, and the first backup of a
 * new schedule is written at once. What goes wrong is said in the status and tried again; it never ends the manager.
 */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { BackupConfig } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type BackupStatus, BackupStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { clusterOf } from "../cluster.ts";
import { nextRunMs } from "../job-scheduler/cron.ts";
import { Loop } from "../loop.ts";
import type { Replication } from "../replication/replication.ts";
import type { Store } from "../store/store.ts";
import { encodeBackup } from "./backup-file.ts";
import { BackupFolder, type StoredBackup } from "./backup-folder.ts";
import { gather } from "./gather.ts";

/** Alarms follow time as it passes, schedules the clock on the wall: how soon the one notices that the other was set. */
const clockCheckMs = 30_000;
/** After a failure: a disk that was full may have room again. */
const retryMs = 5 * 60_000;

export interface ScheduledBackupsOptions {
  /** This manager's node. */
  readonly nodeId: string;
}

export interface ScheduledBackupsModules extends Ports {
  readonly store: Store;
  readonly replication: Pick<Replication, "barrier">;
}

export class ScheduledBackups implements AsyncDisposable {
  readonly #nodeId: string;
  readonly #modules: ScheduledBackupsModules;
  readonly #stopped = Promise.withResolvers<never>();
  readonly #loop: Loop;
  readonly #watch: Disposable;
  /** Not before this, by the clock that only grows: the last attempt has failed. */
  #retryAtMs = 0;

  constructor({ nodeId }: ScheduledBackupsOptions, modules: ScheduledBackupsModules) {
    this.#nodeId = nodeId;
    this.#modules = modules;
    this.#stopped.promise.catch(() => undefined);
    this.#loop = new Loop({ name: "backup schedule", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const { kind, before, after } of changes) {
        // Of its own node: whether it is a manager by now. The rest of what it hears of it is its own word.
        const began =
          kind === "node" && after?.id === nodeId && before?.managerStatus === undefined;
        if (kind !== "cluster" && !began) continue;
        this.#retryAtMs = 0;
        this.#loop.wake();
      }
    });
    this.#loop.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#stopped.reject(new Fault("canceled", "the manager ends"));
    await this.#loop[Symbol.asyncDispose]();
  }

  async #round(): Promise<number | undefined> {
    const { store, clock, log } = this.#modules;
    const cluster = clusterOf(store);
    const node = store.get("node", this.#nodeId);
    if (cluster === undefined || node?.managerStatus === undefined) return undefined;
    const config = cluster.spec?.backup;
    const before = node.managerStatus.backup;
    try {
      if (config === undefined) {
        await this.#tell(undefined);
        return undefined;
      }
      const status = await this.#look({ cluster, config, before });
      await this.#tell(status);
      // Not at once, where the clock on the wall was set while a failure is waited out.
      const dueAtMs = Math.max(msFromTimestamp(status.dueAt), clock.now() + 1_000);
      return Math.min(dueAtMs, clock.now() + clockCheckMs);
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code === "canceled") return undefined;
      log.warn(`The state of backups is not written: ${fault.message}`);
      return clock.now() + clockCheckMs;
    }
  }

  /** Writes a backup where one is due. How backups are now. */
  async #look(round: Round): Promise<BackupStatus> {
    const { cluster, config, before } = round;
    const { clock, log } = this.#modules;
    const { schedule: expression } = config;
    const folder = new BackupFolder(config.folder, {
      clusterName: cluster.spec?.annotations?.name ?? "",
      clusterId: cluster.id,
      nodeId: this.#nodeId,
    });
    let newest: StoredBackup | undefined;
    try {
      newest = await folder.newest(clock.now());
      const dueAtMs = nextAfter(expression, newest, clock.now());
      if (dueAtMs > clock.now()) {
        // Fewer may be wanted now; and what could not be removed is said until it is.
        await folder.retain(config.keep, clock.now());
        return statusOf(newest, dueAtMs);
      }
      if (before !== undefined && clock.monotonic() < this.#retryAtMs) return before;
      newest = await this.#write(folder, cluster);
      await folder.retain(config.keep, clock.now());
      return statusOf(newest, nextAfter(expression, newest, clock.now()));
    } catch (thrown) {
      const { message: error } = Fault.from(thrown);
      this.#retryAtMs = clock.monotonic() + retryMs;
      if (before?.error !== error) log.warn("No backup is written", { error });
      const sinceMs = msFromTimestamp(before?.error ? before.failingSince : undefined);
      const status =
        newest === undefined && before !== undefined ? { ...before } : statusOf(newest);
      status.error = error;
      status.failingSince = timestampFromMs(sinceMs || clock.now());
      status.dueAt = timestampFromMs(clock.now() + retryMs);
      return status;
    }
  }

  async #write(folder: BackupFolder, { id: clusterId, unlockKey }: Cluster): Promise<StoredBackup> {
    const { store, replication, clock, log, random } = this.#modules;
    // Without a leader what this manager knows is still worth keeping.
    await this.#unlessStopped(replication.barrier().catch(() => undefined));
    const takenAtMs = Math.floor(clock.now() / 1_000) * 1_000;
    const header = { clusterId, index: store.index, takenAtMs };
    const parts = encodeBackup(header, store.snapshot(), { unlockKey, random });
    const written = await folder.write(takenAtMs, gather(parts));
    log.info("A backup is written", { path: written.path, bytes: written.sizeBytes });
    return written;
  }

  async #tell(status: BackupStatus | undefined): Promise<void> {
    const written = this.#modules.store.write((view) => {
      const node = view.get("node", this.#nodeId);
      if (node?.managerStatus === undefined || sameStatus(node.managerStatus.backup, status)) {
        return [];
      }
      const { backup: _, ...managerStatus } = node.managerStatus;
      const object: Node = {
        ...node,
        managerStatus: { ...managerStatus, ...(status !== undefined && { backup: status }) },
      };
      return [{ action: "update", kind: "node", object }];
    });
    written.catch(() => undefined);
    await this.#unlessStopped(written);
  }

  /** Whoever waits for a leader must not keep the manager from ending. */
  #unlessStopped<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#stopped.promise]);
  }
}

interface Round {
  readonly cluster: Cluster;
  readonly config: BackupConfig;
  readonly before: BackupStatus | undefined;
}

/** When the next one is due. */
function nextAfter(expression: string, newest: StoredBackup | undefined, nowMs: number): number {
  if (newest === undefined) return nowMs;
  return nextRunMs({ expression, timeZone: "" }, newest.takenAtMs) ?? nowMs;
}

function statusOf(newest: StoredBackup | undefined, dueAtMs?: number): BackupStatus {
  return create(BackupStatusSchema, {
    ...(newest !== undefined && {
      path: newest.path,
      takenAt: timestampFromMs(newest.takenAtMs),
      sizeBytes: BigInt(newest.sizeBytes),
    }),
    ...(dueAtMs !== undefined && { dueAt: timestampFromMs(dueAtMs) }),
  });
}

function sameStatus(a: BackupStatus | undefined, b: BackupStatus | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(BackupStatusSchema, a, b);
}
