/** What the benchmark of replicated writes asks of a group of managers, ours or a peer's. */
import type { Host } from "#lab/host.ts";

/** Tells of writes that succeed while the group is being hurt. */
export interface Probe extends Disposable {
  /** Resolves with the end (ms since 1970) of the first write to succeed of those that begin after `afterMs`. */
  next(afterMs: number): Promise<number>;
}

export interface Group extends Disposable {
  readonly name: "ours" | "etcd" | "etcd_tls" | "swarm";
  readonly hosts: readonly Host[];
  leader(signal: AbortSignal): Promise<Host>;
  /** Ends the manager on this host without a word, at once; resolves with the moment (ms since 1970). */
  kill(host: Host): Promise<number>;
  /** Starts it again; resolves when all of the group are well. */
  revive(host: Host, signal: AbortSignal): Promise<void>;
  probe(signal: AbortSignal): Promise<Probe>;
}
