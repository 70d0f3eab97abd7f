/**
 * What the rest of the manager sees of the replicated log. The store proposes and reads behind a barrier; membership and
 * leadership are for the parts that keep the managers themselves in order.
 */
import type { MemberStatus } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Log } from "../store/log.ts";

export interface Leader {
  readonly nodeId: string;
  /** HOST:PORT. */
  readonly address: string;
}

export interface Replication extends Log {
  /** Whether this manager leads and has applied everything that was committed before: its state is the newest there is. */
  readonly leading: boolean;
  /** Undefined while nobody is known to lead. */
  readonly leader: Leader | undefined;
  /** Calls the listener after `leading` or `leader` changed, synchronously: it only takes notes. */
  watch(listener: () => void): Disposable;
  /** Every manager, as the leader sees it; "unavailable" when there is none. */
  members(): Promise<readonly MemberStatus[]>;
  /**
   * Takes a manager's server out of the log; leader only. "failed-precondition" with the numbers where the rest would
   * have no majority that can be reached, unless `force`. Removing itself, the leader hands over first and answers
   * "unavailable": ask the next one.
   */
  remove(nodeId: string, options: { readonly force: boolean }): Promise<void>;
  /** Another manager shall lead. Resolves when this one does not any more; does nothing where it is alone. */
  handOver(): Promise<void>;
}
