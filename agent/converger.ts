/**
 * Makes the host be what is assigned. The names of endpoints that leave go first, for nothing need be ready for that; then
 * the network, which also takes them out of virtual addresses and published ports; then the names of those that come, and
 * DNS's sockets, which need the networks' gateway addresses; then the tasks. So nobody here is led to an endpoint before
 * this host knows the way, nor to a task that was told to stop here; the other hosts have --stop-delay for the same.
 * Tries again after a failure, has put back what strangers removed, and, until a manager has spoken, goes by
 * what an earlier run of this program remembered of networks. The newest assignments win over those that came meanwhile.
 */
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, Peer } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { type Assigned, nothingAssigned } from "./assigned.ts";
import type { AssignedFile } from "./assigned-file.ts";
import type { DnsServer } from "./dns/dns-server.ts";
import type { NetworkDriver } from "./network/network-driver.ts";
import type { Worker } from "./worker.ts";

/** Wait before the host is programmed again after it refused. */
const retryMs = 1_000;

/** How long a stranger's change of the kernel's networks may last. Looking costs a few processes. */
const repairPeriodMs = 30_000;

export interface ConvergerOptions {
  readonly self: () => Peer;
  /** Told each time the worker was given its tasks. */
  readonly onTasks: (assigned: Assigned) => void;
}

export interface ConvergerModules {
  readonly network: Pick<NetworkDriver, "apply" | "repair" | "localNetworks">;
  readonly dns: Pick<DnsServer, "apply">;
  readonly worker: Pick<Worker, "assign">;
  readonly memory: Pick<AssignedFile, "read" | "save">;
  readonly clock: Clock;
  readonly log: Log;
}

export class Converger {
  readonly #options: ConvergerOptions;
  readonly #modules: ConvergerModules;
  #wanted: Assigned = nothingAssigned;
  #done: Assigned = nothingAssigned;
  /** What DNS goes by. */
  #named: Assigned = nothingAssigned;
  #dropping: Promise<void> = Promise.resolve();
  /** Whether a manager said what is wanted. */
  #told = false;
  /** What an earlier run remembered. It says nothing of tasks: the worker must never be given it as their set. */
  #remembered: Assigned = nothingAssigned;
  #wake: (() => void) | undefined;
  /** What was last complained of, by part: the same words are not said again each second. */
  readonly #complaints = new Map<string, string>();
  /** What is under way, and since when by the monotonic clock. */
  readonly #attempts = new Map<string, number>();

  constructor(options: ConvergerOptions, modules: ConvergerModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** What has been under way for longer than `ms`: programs that are run here have deadlines, so that it should be over. */
  slowerThan(ms: number): string | undefined {
    const startedBefore = this.#modules.clock.monotonic() - ms;
    for (const [what, startedAtMs] of this.#attempts) if (startedAtMs < startedBefore) return what;
    return undefined;
  }

  want(assigned: Assigned): void {
    this.#wanted = assigned;
    this.#told = true;
    this.#modules.memory.save(assigned);
    this.#dropping = this.#dropNames();
    this.#wake?.();
  }

  /** Converges until the signal is aborted; when it resolves, nothing is under way any more. */
  async run(signal: AbortSignal): Promise<void> {
    this.#remembered = (await this.#modules.memory.read()) ?? nothingAssigned;
    if (!this.#told) this.#wanted = this.#remembered;
    const repairing = this.#repair(signal);
    while (!signal.aborted) {
      if (this.#wanted === this.#done) await this.#pauseForNews(undefined, signal);
      else if (!(await this.#converge())) await this.#pauseForNews(retryMs, signal);
    }
    await Promise.all([repairing, this.#dropping]);
  }

  /** Says whether the host is now as wanted. */
  async #converge(): Promise<boolean> {
    const wanted = this.#wanted;
    const programmed = await this.#program(wanted);
    // By now a manager may have spoken; this state is remembered all the same.
    if (wanted !== this.#remembered) {
      this.#modules.worker.assign([...wanted.tasks.values()], wanted);
      this.#options.onTasks(wanted);
    }
    if (programmed) this.#done = wanted;
    return programmed;
  }

  /** One network that cannot be had does not keep the others, nor DNS, from being programmed. */
  async #program(wanted: Assigned): Promise<boolean> {
    const { network, dns } = this.#modules;
    const { dataPathPort } = wanted;
    const parts = partsOf(wanted);
    const state = { self: this.#options.self(), ...parts, dataPathPort };
    const routed = await this.#attempt("program the network", () => network.apply(state));
    // Those that left meanwhile do not come back.
    const endpoints = withoutLeaving(wanted, this.#wanted) ?? wanted.endpoints;
    this.#named = { ...wanted, endpoints };
    const names = this.#withLocal(partsOf(this.#named));
    const named = await this.#attempt("program DNS", () => dns.apply(names));
    return routed && named;
  }

  /** Of the endpoints that no longer serve, also while the network is at work; all else about names stays as it is. */
  async #dropNames(): Promise<void> {
    const endpoints = withoutLeaving(this.#named, this.#wanted);
    if (endpoints === undefined) return;
    this.#named = { ...this.#named, endpoints };
    await this.#attempt("program DNS", () =>
      this.#modules.dns.apply(this.#withLocal(partsOf(this.#named))),
    );
  }

  /** Tasks ask for names on the host's own networks, too. */
  #withLocal<Parts extends { readonly networks: readonly Network[] }>(parts: Parts): Parts {
    return { ...parts, networks: [...parts.networks, ...this.#modules.network.localNetworks()] };
  }

  /** Beside convergence: neither waits for the other, and a network that is refused keeps no other from being repaired. */
  async #repair(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#pause(repairPeriodMs, signal, undefined);
      if (signal.aborted) break;
      await this.#attempt("repair the network", () => this.#modules.network.repair());
    }
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<boolean> {
    this.#attempts.set(what, this.#modules.clock.monotonic());
    try {
      await work();
      this.#complaints.delete(what);
      return true;
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      if (this.#complaints.get(what) !== error)
        this.#modules.log.error(`cannot ${what}`, { error });
      this.#complaints.set(what, error);
      return false;
    } finally {
      this.#attempts.delete(what);
    }
  }

  async #pauseForNews(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const { promise: news, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await this.#pause(ms, signal, news);
    this.#wake = undefined;
  }

  /** Until the time, if any, is up, the signal is aborted, or there is what may end it before. */
  async #pause(
    ms: number | undefined,
    signal: AbortSignal,
    end: Promise<void> | undefined,
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    signal.addEventListener("abort", wake, { once: true });
    using _timer = ms === undefined ? undefined : this.#modules.clock.timer(ms, wake);
    if (signal.aborted) wake();
    await Promise.race([promise, end ?? promise]);
    signal.removeEventListener("abort", wake);
  }
}

function partsOf({ networks, endpoints, peers, services }: Assigned) {
  return {
    networks: [...networks.values()],
    endpoints: [...endpoints.values()],
    peers: [...peers.values()],
    services: [...services.values()],
  };
}

/** The endpoints of before, those no longer serving that do not serve any more or are gone; undefined: there are none. */
function withoutLeaving(
  before: Assigned,
  after: Assigned,
): ReadonlyMap<string, NetworkEndpoint> | undefined {
  const leaving = [...before.endpoints.values()].filter((endpoint) => {
    const now = after.endpoints.get(endpoint.id);
    return endpoint.serving && now !== endpoint && now?.serving !== true;
  });
  if (leaving.length === 0) return undefined;
  const silent = leaving.map((endpoint) => [endpoint.id, { ...endpoint, serving: false }] as const);
  return new Map([...before.endpoints, ...silent]);
}
