/**
 * Carries the beats of this manager's sessions to the leader: at once to its own node liveness while it leads, else by a
 * report every quarter of a heartbeat period, and at once for a new session or a new leader. What could not be reported is
 * kept for the next try. Measurements that came with the beats go the same way; they are not kept, newer ones come soon.
 *
 * A manager that reaches no leader for longer than `cutOffMs` cannot keep its nodes from being declared DOWN, so it must
 * send their agents away; it has tried once more right before, so a process that stood still does so only when it is true.
 */
import { Fault } from "#proto/fault.ts";
import type { TaskUsage } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { PeerService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Clock, Log } from "#proto/ports.ts";
import type { UsageBook } from "../autoscaler/usage-book.ts";
import { Loop } from "../loop.ts";
import type { NodeLiveness } from "../node-liveness/node-liveness.ts";
import { cutOffMs, reportPeriodMs } from "../node-liveness/timing.ts";
import type { Replication } from "../replication/replication.ts";

/** How long a leader may take to answer a report. */
const answerMs = 1_000;

export interface BeatReporterOptions {
  readonly periodMs: () => number;
  /** Whether there is anything to report regularly. */
  readonly hasSessions: () => boolean;
  /** Told when the sessions cannot be kept. */
  readonly onCutOff: (fault: Fault) => void;
}

export interface BeatReporterModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly replication: Pick<Replication, "leading" | "watch">;
  /** This manager's, while it leads. */
  readonly nodeLiveness: () => NodeLiveness | undefined;
  /** Likewise; what comes is dropped where there is none. */
  readonly usageBook?: () => Pick<UsageBook, "record"> | undefined;
  /** The leader's service where another manager leads; throws "unavailable" where nobody does. */
  readonly leader: () => Client<typeof PeerService>;
}

export class BeatReporter implements AsyncDisposable {
  readonly #options: BeatReporterOptions;
  readonly #modules: BeatReporterModules;
  readonly #loop: Loop;
  readonly #watch: Disposable;
  #beats = new Set<string>();
  /** By task, the newest: a node that tells very often must not make a report too long. */
  #usages = new Map<string, TaskUsage>();
  /** Those who wait for the next report to arrive, and which node each announces. */
  readonly #waiting = new Map<() => void, string>();
  /** When a leader was last reached, or first sought. */
  #contactMs = 0;
  #idle = true;
  #call = new AbortController();

  constructor(options: BeatReporterOptions, modules: BeatReporterModules) {
    this.#options = options;
    this.#modules = modules;
    this.#loop = new Loop({ name: "beat reporter", round: () => this.#round() }, modules);
    this.#watch = modules.replication.watch(() => this.#onLeader());
  }

  /** Rejects when nothing can be reported any more. */
  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  beat(nodeId: string, usages: readonly TaskUsage[] = []): void {
    const liveness = this.#modules.nodeLiveness();
    if (liveness === undefined) {
      this.#beats.add(nodeId);
      for (const usage of usages) this.#usages.set(usage.taskId, usage);
    } else {
      liveness.beat(nodeId);
      this.#modules.usageBook?.()?.record(usages);
    }
  }

  /**
   * A beat that cannot wait. Resolves when the leader has it; rejects with the signal's reason when aborted first, and the
   * leader does not hear of it later, when it would be no news of the node any more.
   */
  async announce(nodeId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiting.set(resolve, nodeId);
    this.#wake();
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#call.abort(new Fault("canceled", "the manager ends"));
    await this.#loop[Symbol.asyncDispose]();
  }

  #wake(): void {
    if (this.#idle) this.#contactMs = this.#modules.clock.monotonic();
    this.#idle = false;
    this.#loop.wake();
  }

  /** Whoever was asked last may not answer any more. */
  #onLeader(): void {
    this.#call.abort(new Fault("unavailable", "another manager leads"));
    if (!this.#idle) this.#loop.wake();
  }

  async #round(): Promise<number | undefined> {
    const { clock } = this.#modules;
    const beats = this.#beats;
    const usages = [...this.#usages.values()];
    const waiting = new Map(this.#waiting);
    this.#beats = new Set();
    this.#usages.clear();
    try {
      await this.#report([...new Set([...beats, ...waiting.values()])], usages);
      this.#contactMs = clock.monotonic();
      for (const resolve of waiting.keys()) resolve();
    } catch (thrown) {
      for (const nodeId of beats) this.#beats.add(nodeId);
      this.#onFailure(Fault.from(thrown));
    }
    this.#idle = !this.#options.hasSessions();
    return this.#idle ? undefined : clock.now() + reportPeriodMs(this.#options.periodMs());
  }

  async #report(nodeIds: readonly string[], usages: TaskUsage[]): Promise<void> {
    const { replication, nodeLiveness, usageBook, leader } = this.#modules;
    const liveness = nodeLiveness();
    if (liveness !== undefined) {
      for (const nodeId of nodeIds) liveness.beat(nodeId);
      usageBook?.()?.record(usages);
      return;
    }
    if (replication.leading) throw new Fault("unavailable", "this manager only begins to lead");
    this.#call = new AbortController();
    const { signal } = this.#call;
    await leader().reportBeats({ nodeIds: [...nodeIds], usages }, { signal, deadlineMs: answerMs });
  }

  #onFailure(fault: Fault): void {
    const { clock, log } = this.#modules;
    const silentMs = Math.round(clock.monotonic() - this.#contactMs);
    if (silentMs < cutOffMs(this.#options.periodMs())) return;
    if (this.#options.hasSessions()) {
      log.warn(`No leader takes the nodes' heartbeats: ${fault.message}`, { silentMs });
    }
    const message = `this manager has reached no leader for ${Math.round(silentMs / 1000)} s: go to another`;
    this.#beats.clear();
    this.#options.onCutOff(new Fault("unavailable", message));
  }
}
