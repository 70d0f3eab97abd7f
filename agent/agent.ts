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
import type { Ports } from "#proto/ports.ts";
import { type Assigned, applyAssignments, nothingAssigned } from "./assigned.ts";
import { Converger, type ConvergerModules } from "./converger.ts";
import { LogPublisher } from "./log-publisher.ts";
import type { Reporter } from "./reporter.ts";
import { type NodeCredentials, runSession } from "./session.ts";
import type { Worker } from "./worker.ts";

/** Wait before the next session: doubled after each failure, back to the first after a session that stood. */
const backoffMsMin = 100;
const backoffMsMax = 2_000;

export interface AgentOptions {
  /** host:port of managers, best first; replaced by what a session says. */
  readonly managers: readonly string[];
  readonly credentials: NodeCredentials;
  readonly self: Peer;
}

export interface AgentModules extends Ports, ConvergerModules {
  readonly describe: () => NodeDescription;
  readonly worker: Pick<Worker, "assign" | "statuses" | "logs">;
  readonly reporter: Reporter;
  /** Told when the managers' addresses change, so that the next start of the daemon knows them. */
  readonly onManagers: (managers: readonly string[]) => void;
}

export type SessionState =
  | { readonly state: "connecting"; readonly error: string }
  | { readonly state: "connected"; readonly manager: string };

export class Agent {
  readonly #modules: AgentModules;
  readonly #credentials: NodeCredentials;
  readonly #converger: Converger;
  readonly #logPublisher: LogPublisher;
  #managers: readonly string[];
  #assigned: Assigned = nothingAssigned;
  #broker: Client<typeof LogBrokerService> | undefined;
  #session: SessionState = { state: "connecting", error: "no session was opened yet" };

  constructor(options: AgentOptions, modules: AgentModules) {
    this.#modules = modules;
    this.#credentials = options.credentials;
    this.#converger = new Converger(
      { self: options.self, onTasks: (assigned) => this.#publishLogs(assigned) },
      modules,
    );
    this.#managers = options.managers;
    this.#logPublisher = new LogPublisher({
      readLogs: (taskId, logOptions, signal) => modules.worker.logs(taskId, logOptions, signal),
      log: modules.log,
    });
  }

  get session(): SessionState {
    return this.#session;
  }

  get managers(): readonly string[] {
    return this.#managers;
  }

  /** Runs until the signal is aborted; nothing is under way any more when it resolves. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#converger.run(signal), this.#holdSessions(signal)]);
  }

  async #holdSessions(signal: AbortSignal): Promise<void> {
    let backoffMs = backoffMsMin;
    for (let turn = 0; !signal.aborted; turn++) {
      const manager = this.#managers[turn % this.#managers.length] ?? "";
      const fault = await this.#hold(manager, signal);
      if (signal.aborted) return;
      if (this.#session.state === "connected") backoffMs = backoffMsMin;
      this.#session = { state: "connecting", error: fault.message };
      this.#modules.log.warn(fault.message, { code: fault.code });
      await this.#modules.clock.sleep(backoffMs, signal).catch(() => undefined);
      backoffMs = Math.min(backoffMs * 2, backoffMsMax);
    }
  }

  /** One session, to its end. */
  async #hold(manager: string, signal: AbortSignal): Promise<Fault> {
    const { clock, describe } = this.#modules;
    try {
      return await runSession(
        { manager, credentials: this.#credentials, description: describe() },
        {
          clock,
          events: {
            onSession: (response, broker) => this.#onSession(manager, response, broker),
            onAssignments: (message) => this.#onAssignments(message),
            deliver: (send, ended) => this.#modules.reporter.run(send, ended),
          },
        },
        signal,
      );
    } catch (thrown) {
      return Fault.from(thrown);
    } finally {
      this.#broker = undefined;
      this.#logPublisher.stop();
    }
  }

  #onSession(
    manager: string,
    response: SessionResponse,
    broker: Client<typeof LogBrokerService>,
  ): void {
    this.#session = { state: "connected", manager };
    this.#broker = broker;
    if (response.managers.length > 0) {
      this.#managers = response.managers;
      this.#modules.onManagers(response.managers);
    }
    // The manager may have missed what happened while there was no session.
    for (const [taskId, status] of this.#modules.worker.statuses()) {
      this.#modules.reporter.report(taskId, status);
    }
    this.#modules.log.info("the session stands", { manager });
  }

  #onAssignments(message: AssignmentsResponse): void {
    this.#assigned = applyAssignments(this.#assigned, message);
    if (this.#assigned.complete) this.#converger.want(this.#assigned);
  }

  /** Not before the worker has the tasks: the wish for a new task's log comes together with the task. */
  #publishLogs({ logSubscriptions }: Assigned): void {
    if (this.#broker !== undefined) this.#logPublisher.apply(logSubscriptions, this.#broker);
  }
}
