/**
 * The agent of a node: holds a session with some manager, and makes the host be what the newest assignments say: first
 * the networks, then DNS, then the tasks. Without a manager everything goes on as last told.
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
import type { DnsServer } from "./dns/dns-server.ts";
import { LogPublisher } from "./log-publisher.ts";
import type { NetworkDriver } from "./network/network-driver.ts";
import type { Reporter } from "./reporter.ts";
import { type NodeCredentials, runSession } from "./session.ts";
import type { Worker } from "./worker.ts";

/** Wait before the next session: doubled after each failure, back to the first after a session that stood. */
const backoffMsMin = 100;
const backoffMsMax = 2_000;

/** Wait before the kernel is programmed again after it refused. */
const repairMs = 1_000;

export interface AgentOptions {
  /** host:port of managers, best first; replaced by what a session says. */
  readonly managers: readonly string[];
  readonly credentials: NodeCredentials;
  readonly self: Peer;
}

export interface AgentModules extends Ports {
  readonly describe: () => NodeDescription;
  readonly network: Pick<NetworkDriver, "apply">;
  readonly dns: Pick<DnsServer, "apply">;
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
  readonly #self: Peer;
  readonly #logPublisher: LogPublisher;
  #managers: readonly string[];
  #assigned: Assigned = nothingAssigned;
  #broker: Client<typeof LogBrokerService> | undefined;
  #session: SessionState = { state: "connecting", error: "no session was opened yet" };
  #converging = false;

  constructor(options: AgentOptions, modules: AgentModules) {
    this.#modules = modules;
    this.#credentials = options.credentials;
    this.#self = options.self;
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

  /** Holds sessions until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let backoffMs = backoffMsMin;
    for (let turn = 0; !signal.aborted; turn++) {
      const manager = this.#managers[turn % this.#managers.length] ?? "";
      const fault = await this.#hold(manager, signal);
      if (signal.aborted) return;
      const stood = this.#session.state === "connected";
      this.#session = { state: "connecting", error: fault.message };
      this.#modules.log.warn(fault.message, { code: fault.code });
      backoffMs = stood ? backoffMsMin : Math.min(backoffMs * 2, backoffMsMax);
      await this.#modules.clock.sleep(backoffMs, signal).catch(() => undefined);
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
            onAssignments: (message) => this.#onAssignments(message, signal),
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

  #onAssignments(message: AssignmentsResponse, signal: AbortSignal): void {
    this.#assigned = applyAssignments(this.#assigned, message);
    if (!this.#converging) void this.#converge(signal);
  }

  /** Makes the host what is assigned, until it is: the newest assignments win over those that came while working. */
  async #converge(signal: AbortSignal): Promise<void> {
    this.#converging = true;
    try {
      let done: Assigned | undefined;
      while (done !== this.#assigned && !signal.aborted) {
        const wanted = this.#assigned;
        const programmed = await this.#program(wanted);
        this.#modules.worker.assign([...wanted.tasks.values()]);
        // Not before: the wish for a new task's log comes together with the task.
        if (this.#broker !== undefined) {
          this.#logPublisher.apply(wanted.logSubscriptions, this.#broker);
        }
        if (programmed) done = wanted;
        else await this.#modules.clock.sleep(repairMs, signal).catch(() => undefined);
      }
    } finally {
      this.#converging = false;
    }
  }

  /**
   * Networks, then DNS: its sockets need the gateway addresses. One network that cannot be had does not keep the others
   * from being programmed. Says whether all went well.
   */
  async #program(wanted: Assigned): Promise<boolean> {
    const networks = [...wanted.networks.values()];
    const endpoints = [...wanted.endpoints.values()];
    const peers = [...wanted.peers.values()];
    const { network, dns, log } = this.#modules;
    const attempt = async (what: string, work: Promise<void>) => {
      try {
        await work;
        return true;
      } catch (thrown) {
        log.error(`cannot program ${what}`, { error: Fault.from(thrown).message });
        return false;
      }
    };
    const routed = await attempt(
      "the network",
      network.apply({ self: this.#self, peers, networks, endpoints }),
    );
    const named = await attempt("DNS", dns.apply({ networks, endpoints }));
    return routed && named;
  }
}
