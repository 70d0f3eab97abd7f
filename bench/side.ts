/**
 * What a benchmark asks of an orchestrator. Ours and a peer answer it with their own APIs; everything that is timed or
 * waited for is the same code for both.
 */
import type { Host } from "#lab/host.ts";

export interface Workload {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly replicas: number;
  /** The name of an overlay network to attach to. */
  readonly network?: string;
}

/** For the tasks of every workload: SIGTERM, and SIGKILL so much later. */
export const stopGraceMs = 1_000;

export interface RunningTask {
  readonly id: string;
  /** The host's name. */
  readonly host: string;
}

export interface StartWatch extends Disposable {
  /** Resolves when the orchestrator tells of the first container that runs since the watch began. */
  readonly started: Promise<void>;
}

export interface Side extends Disposable {
  readonly name: "ours" | "peer";
  /** The hosts that it has to itself. */
  readonly hosts: readonly Host[];
  createNetwork(name: string, signal: AbortSignal): Promise<void>;
  /** Resolves when the API has accepted the service. A container that ends is restarted without delay. */
  createService(workload: Workload, signal: AbortSignal): Promise<void>;
  removeService(name: string, signal: AbortSignal): Promise<void>;
  /** How many tasks of the service run, as the API counts them. */
  countRunning(service: string, signal: AbortSignal): Promise<number>;
  /** The tasks of the service that shall run and do. */
  listRunning(service: string, signal: AbortSignal): Promise<readonly RunningTask[]>;
  /** Whether nothing is left of services that were removed, in the API and on the hosts. */
  isIdle(signal: AbortSignal): Promise<boolean>;
  /** Resolves when the watch is in place. */
  watchStart(signal: AbortSignal): Promise<StartWatch>;
  /** Brings an image to one host; resolves when containers could start from it. */
  pullImage(host: Host, image: string, signal: AbortSignal): Promise<void>;
  /** Takes it away again, with all of its layers. */
  removeImage(host: Host, image: string, signal: AbortSignal): Promise<void>;
  /** A host without which the cluster still has a leader. */
  expendableHost(signal: AbortSignal): Promise<Host>;
  /** Boots a host that was killed; resolves when the cluster counts on it again. */
  revive(host: Host, signal: AbortSignal): Promise<void>;
}
