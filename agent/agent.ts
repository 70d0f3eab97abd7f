/**
 * The agent of a node: holds a session with some manager, one after the other as long as it runs, and hands what it is told
 * to those who carry it out. Without a manager everything goes on as last told.
 */
import { Fault } from "#proto/fault.ts";
import type {
  AssignmentsResponse,
  LogBrokerService,
  Peer,
  SessionResponse,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { NodeDescription } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { type Assigned, applyAssignments, nothingAssigned } from "./assigned.ts";
import { Converger, type ConvergerModules } from "./converger.ts";
import type { ManagerSession } from "./layer-peers/layer-peers.ts";
import { LogPublisher } from "./log-publisher.ts";
import { ManagerChoice } from "./manager-choice.ts";
import { Patience } from "./patience.ts";
import type { Reporter } from "./reporter.ts";
import { type ManagerClients, runSession } from "./session.ts";
import type { UsageMeter } from "./stats/usage-meter.ts";
import type { Worker } from "./worker.ts";

/**
 * Wait when no manager takes this node: doubled each time, back to the first after a session that stood. Together with the
 * time for the managers that do not answer it stays below the time that a new leader gives nodes to come.
 */
const backoffMsMin = 100;
const backoffMsMax = 2_000;
/** Nothing takes so long on a host that works. */
const standstillMs = 5 * 60_000;
/** Where all managers refuse it, which does not change soon. */
const refusedMs = 8_000;
/** A session that stood for less counts as one that failed: a manager that ends each at once is not asked on and on. */
const steadyMs = 1_000;
/** A host that shuts down waits no longer for a manager. */
const farewellMs = 10_000;

export interface AgentOptions {
  readonly clusterId: string;
  /** Resolves when the node's certificate can be used, which it cannot while its key is locked. */
  readonly identity: Promise<TlsIdentityHolder>;
  /** host:port of managers; replaced by what a session says. */
  readonly managers: readonly string[];
  /** This node as its data plane must know it now. */
  readonly self: () => Peer;
}

export interface AgentModules extends Ports, ConvergerModules {
  readonly describe: (identity: TlsIdentity) => NodeDescription;
  /** Tells each time that `describe` says something else that managers must hear of at once. */
  readonly watchDescription?: (listener: () => void) => Disposable;
  readonly worker: Pick<Worker, "assign" | "statuses" | "logs">;
  readonly reporter: Reporter;
  readonly usage: Pick<UsageMeter, "want" | "take">;
  /** Told what a manager says of this node and of the managers, each time that it does. */
  readonly onNews: (news: SessionResponse) => void;
  /** Told of the session that stands; undefined where none does. */
  readonly onSession?: (session: ManagerSession | undefined) => void;
}

interface Standing {
  readonly dispatcher: ManagerClients["dispatcher"];
  readonly sessionId: string;
}

export type SessionState =
  | { readonly state: "connecting"; readonly error: string }
  | { readonly state: "connected"; readonly manager: string };

export class Agent {
  readonly #options: AgentOptions;
  readonly #modules: AgentModules;
  readonly #converger: Converger;
  readonly #logPublisher: LogPublisher;
  readonly #choice: ManagerChoice;
  #assigned: Assigned = nothingAssigned;
  /** The last of which no parts were to come. */
  #complete: Assigned = nothingAssigned;
  #broker: Client<typeof LogBrokerService> | undefined;
  #session: SessionState = { state: "connecting", error: "no session was opened yet" };
  /** What the session stands on. */
  #standing: Standing | undefined;
  #hasLeft = false;
  /** Of the session that stands or is being opened; aborting it opens another at once. */
  #moving = new AbortController();

  constructor(options: AgentOptions, modules: AgentModules) {
    this.#options = options;
    this.#modules = modules;
    this.#converger = new Converger(
      { self: options.self, onTasks: (assigned) => this.#publishLogs(assigned) },
      modules,
    );
    this.#choice = new ManagerChoice(options.managers, modules.random);
    this.#logPublisher = new LogPublisher({
      readLogs: (taskId, logOptions, signal) => modules.worker.logs(taskId, logOptions, signal),
      log: modules.log,
    });
  }

  get session(): SessionState {
    return this.#session;
  }

  /** What this host has been at for so long that it will not end. */
  get standstill(): string | undefined {
    return this.#converger.slowerThan(standstillMs);
  }

  get managers(): readonly string[] {
    return this.#choice.managers;
  }

  /**
   * Tells that this host shuts down; there is no session from then on, while all else goes on. Rejects where nobody could be
   * told: then its heartbeats stay away, and it is found out.
   */
  async farewell(): Promise<void> {
    this.#hasLeft = true;
    const standing = this.#standing;
    if (standing === undefined) throw new Fault("unavailable", "no session stands");
    const { dispatcher, sessionId } = standing;
    await dispatcher.farewell({ sessionId }, { deadlineMs: farewellMs });
  }

  /** Runs until the signal is aborted; nothing is under way any more when it resolves. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#converger.run(signal), this.#connect(signal)]);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const identity = await unlessAborted(this.#options.identity, signal);
    if (identity !== undefined) await this.#holdSessions(identity, signal);
  }

  /** The manager that fails is left for another one at once; only where none is left is there a pause. */
  async #holdSessions(identity: TlsIdentityHolder, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#modules;
    let backoffMs = backoffMsMin;
    const patience = new Patience();
    while (!signal.aborted && !this.#hasLeft) {
      const manager = this.#choice.next();
      // A new certificate, which may name another role or authority, is shown by a new session.
      using _watch = identity.watch(() => this.#moveTo(manager, "the node's certificate is new"));
      using _description = this.#modules.watchDescription?.(() =>
        this.#moveTo(manager, "the node has news of itself"),
      );
      const wish = { manager, identity, openMs: patience.ms };
      const { fault, openedInMs, stoodMs } = await this.#hold(wish, signal);
      if (signal.aborted || this.#hasLeft) return;
      const { signal: moving } = this.#moving;
      const { message: error } = moving.aborted ? Fault.from(moving.reason) : fault;
      this.#session = { state: "connecting", error };
      if (moving.aborted) continue;
      log.warn(fault.message, { code: fault.code });
      if (stoodMs >= steadyMs) {
        backoffMs = backoffMsMin;
        patience.stood(openedInMs);
        this.#choice.forget();
      } else patience.failed();
      this.#choice.fail(manager, fault);
      if (!this.#choice.exhausted) continue;
      const waitMs = this.#choice.refused ? refusedMs : backoffMs;
      this.#choice.forgive();
      await clock.sleep(waitMs, signal).catch(() => undefined);
      backoffMs = Math.min(backoffMs * 2, backoffMsMax);
    }
  }

  /** One session, to its end. */
  async #hold(
    { manager, identity, openMs }: { manager: string; identity: TlsIdentityHolder; openMs: number },
    signal: AbortSignal,
  ): Promise<{ readonly fault: Fault; readonly openedInMs: number; readonly stoodMs: number }> {
    const { clock, describe } = this.#modules;
    const { clusterId } = this.#options;
    this.#moving = new AbortController();
    const beganAtMs = clock.monotonic();
    let stoodAtMs: number | undefined;
    const end = (thrown: unknown) => ({
      fault: Fault.from(thrown),
      openedInMs: (stoodAtMs ?? beganAtMs) - beganAtMs,
      stoodMs: stoodAtMs === undefined ? 0 : clock.monotonic() - stoodAtMs,
    });
    try {
      const tls = { kind: "mutual", identity, clusterId } as const;
      return await runSession(
        { manager, tls, description: describe(identity.current), openMs },
        {
          clock,
          events: {
            onSession: (response, { logBroker, dispatcher }) => {
              stoodAtMs ??= clock.monotonic();
              this.#standing = { dispatcher, sessionId: response.sessionId };
              this.#modules.onSession?.(this.#standing);
              this.#onSession(manager, response, logBroker);
            },
            onAssignments: (message) => this.#onAssignments(message),
            usages: () => this.#modules.usage.take(),
            deliver: (send, ended) => this.#modules.reporter.run(send, ended),
          },
        },
        AbortSignal.any([signal, this.#moving.signal]),
      );
    } catch (thrown) {
      return end(thrown);
    } finally {
      this.#broker = undefined;
      this.#standing = undefined;
      this.#modules.onSession?.(undefined);
      this.#modules.usage.want([]);
      this.#logPublisher.stop();
    }
  }

  #moveTo(manager: string, why: string): void {
    this.#choice.prefer(manager);
    this.#modules.log.info("opening another session", { manager, why });
    this.#moving.abort(new Fault("canceled", `another session is being opened: ${why}`));
  }

  #onSession(
    manager: string,
    response: SessionResponse,
    broker: Client<typeof LogBrokerService>,
  ): void {
    const standsAlready = this.#session.state === "connected";
    this.#session = { state: "connected", manager };
    this.#broker = broker;
    this.#assigned = { ...this.#assigned, dataPathPort: response.dataPathPort };
    if (!standsAlready) this.#onOpened(manager);
    if (response.managers.length > 0) {
      const drawnTo = this.#choice.update(response.managers);
      if (drawnTo !== undefined && drawnTo !== manager) this.#moveTo(drawnTo, "a manager is new");
    }
    this.#modules.usage.want(response.measuredServiceIds);
    this.#modules.onNews(response);
  }

  /** The manager may have missed what happened while there was no session. */
  #onOpened(manager: string): void {
    for (const [taskId, status] of this.#modules.worker.statuses()) {
      this.#modules.reporter.report(taskId, status);
    }
    this.#modules.log.info("the session stands", { manager });
  }

  #onAssignments(message: AssignmentsResponse): void {
    this.#assigned = applyAssignments(this.#assigned, message, this.#complete);
    if (!this.#assigned.complete) return;
    this.#complete = this.#assigned;
    this.#converger.want(this.#assigned);
  }

  /** Not before the worker has the tasks whose logs are wished for. */
  #publishLogs({ logSubscriptions }: Assigned): void {
    if (this.#broker !== undefined) this.#logPublisher.apply(logSubscriptions, this.#broker);
  }
}

/** What the promise resolves with; undefined when the signal came first. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const onAbort = () => resolve(undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
