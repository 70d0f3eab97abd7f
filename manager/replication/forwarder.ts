/**
 * Brings this server's proposals to a leader elsewhere: one call at a time, and what comes meanwhile goes into the next.
 *
 * A batch is for the leader of one term. Where the call broke nobody knows whether the leader took it: the batch goes again,
 * under its number, to the same leader in the same term, which knows what it has taken, and to nobody else.
 */
import { Fault } from "#proto/fault.ts";
import type { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import type { Standing } from "../raft/contract.ts";
import type { Proposal, Proposals } from "./proposals.ts";
import { isUndone } from "./refusals.ts";

const callMs = 5_000;
const retryMs = 50;

export interface ForwarderModules {
  readonly group: string;
  readonly proposals: Proposals;
  readonly clock: Clock;
  readonly standing: () => Standing;
  /** A way to this server's calls, where one is known. */
  readonly client: (server: number) => Client<typeof RaftService> | undefined;
}

export class Forwarder implements AsyncDisposable {
  readonly #modules: ForwarderModules;
  readonly #stop = new AbortController();
  /** Aborted when somebody else leads. */
  #reign = new AbortController();
  #running: Promise<void> | undefined;
  #batches = 0n;

  constructor(modules: ForwarderModules) {
    this.#modules = modules;
  }

  wake(): void {
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#elsewhere() && this.#modules.proposals.anyWaiting) this.wake();
    });
  }

  /** Another leads, or in another term. */
  stood(): void {
    this.#reign.abort(new Fault("unavailable", "the leader has changed"));
    this.#reign = new AbortController();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("unavailable", "this manager is stopping"));
    this.stood();
    await this.#running;
  }

  #elsewhere(): boolean {
    const { role, leader } = this.#modules.standing();
    return role !== "leader" && leader !== undefined && !this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    const { proposals, standing } = this.#modules;
    while (this.#elsewhere() && proposals.anyWaiting) {
      if (this.#way() === undefined) await this.#pause();
      else await this.#bring(proposals.take(standing().term), standing().term);
    }
  }

  /** To the leader, where one is known. */
  #way(): Client<typeof RaftService> | undefined {
    const { client, standing } = this.#modules;
    const { leader } = standing();
    return leader === undefined ? undefined : client(leader);
  }

  /**
   * Until it is taken, certainly is not, or the term is over: also over a moment in which nobody seems to lead, since the
   * same leader may go on in the same term.
   */
  async #bring(batch: readonly Proposal[], term: number): Promise<void> {
    const { group, proposals, standing } = this.#modules;
    this.#batches += 1n;
    const entries = batch.map(({ data }) => data);
    const request = { group, term: BigInt(term), batch: this.#batches, entries };
    let sentBefore = false;
    while (standing().term === term && !this.#stop.signal.aborted) {
      const way = this.#way();
      try {
        await way?.propose(request, { signal: this.#reign.signal, deadlineMs: callMs });
        if (way !== undefined) return;
      } catch (thrown) {
        // What an earlier call may have brought, this one's refusal does not take back.
        if (isUndone(Fault.from(thrown)) && !sentBefore) {
          proposals.putBack(batch);
          await this.#pause();
          return;
        }
        sentBefore = true;
      }
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    const { signal } = this.#reign;
    await this.#modules.clock.sleep(retryMs, signal).catch(() => undefined);
  }
}
