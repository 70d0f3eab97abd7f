/**
 * Linearizable reads (§6.4): the leader proves that it still leads and says what is committed; whoever reads waits until
 * that is applied here. Works on every manager: a follower asks the leader. Many readers share one question.
 */
import { Fault } from "#proto/fault.ts";
import type { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { integer } from "./codec.ts";
import { requestTimeoutMs } from "./limits.ts";
import type { RaftNode } from "./raft-node.ts";
import { isNotLeading, notLeading } from "./refusals.ts";
import { SharedCall } from "#proto/shared-call.ts";

const callMs = 2_000;
const retryMs = 50;

export interface ReadsModules {
  readonly group: string;
  readonly node: RaftNode;
  readonly clock: Clock;
  readonly client: (server: number) => Client<typeof RaftService> | undefined;
  /** Resolves when everything up to the index is applied here. */
  readonly applied: (index: number) => Promise<void>;
  /** Why there is no answer, for people. */
  readonly trouble: () => string;
}

export class Reads implements Disposable {
  readonly #modules: ReadsModules;
  readonly #stop = new AbortController();
  /** Aborted when somebody else leads. */
  #reign = new AbortController();
  readonly #leads: SharedCall<number>;
  readonly #asks: SharedCall<number>;

  constructor(modules: ReadsModules) {
    this.#modules = modules;
    this.#leads = new SharedCall(() => this.#askCore());
    this.#asks = new SharedCall(() => this.#askLeader());
  }

  /** What a reader elsewhere has to wait for; only where this server leads. */
  index(): Promise<number> {
    return this.#leads.run();
  }

  async barrier(): Promise<void> {
    const { clock, trouble } = this.#modules;
    const late = Promise.withResolvers<never>();
    const over = new AbortController();
    using _alarm = clock.timer(requestTimeoutMs, () => {
      late.reject(new Fault("unavailable", trouble()));
    });
    const onStop = () => late.reject(this.#stop.signal.reason);
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    try {
      this.#stop.signal.throwIfAborted();
      await Promise.race([this.#reach(over.signal), late.promise]);
    } finally {
      over.abort();
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  /** Another leads, or in another term. */
  stood(): void {
    this.#reign.abort(new Fault("unavailable", "the leader has changed"));
    this.#reign = new AbortController();
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Fault("unavailable", "this manager is stopping: ask another one"));
    this.stood();
  }

  async #reach(over: AbortSignal): Promise<void> {
    const { node, clock, applied } = this.#modules;
    while (!over.aborted) {
      const reign = this.#reign.signal;
      try {
        const { role } = node.core.standing;
        return await applied(await (role === "leader" ? this.#leads : this.#asks).run());
      } catch (thrown) {
        const fault = Fault.from(thrown);
        if (!fault.retryable && !isNotLeading(fault)) throw fault;
      }
      // Who leads next is asked at once.
      await clock.sleep(retryMs, AbortSignal.any([over, reign])).catch(() => undefined);
    }
  }

  async #askCore(): Promise<number> {
    const answer = await this.#modules.node.read();
    if (answer.kind === "refused") throw notLeading(undefined);
    return answer.index;
  }

  async #askLeader(): Promise<number> {
    const { node, group, client } = this.#modules;
    const { leader } = node.core.standing;
    const rpc = leader === undefined ? undefined : client(leader);
    if (rpc === undefined) throw notLeading(undefined);
    const { signal } = this.#reign;
    try {
      const { index } = await rpc.readIndex({ group }, { signal, deadlineMs: callMs });
      return integer(index, "index");
    } catch (thrown) {
      // Not the reader has given up.
      signal.throwIfAborted();
      throw thrown;
    }
  }
}
