/**
 * One session with one manager: registers the node, keeps the heartbeat, receives assignments, delivers statuses. A
 * session ends with a Fault when any of these fails; the agent then opens another, perhaps with another manager.
 */
import { Fault } from "#proto/fault.ts";
import {
  type AssignmentsResponse,
  DispatcherService,
  LogBrokerService,
  type SessionResponse,
  type TaskUsage,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { NodeDescription } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Client, Connection } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { msFromDuration } from "#proto/time.ts";
import type { ClientTls } from "#proto/tls/client-credentials.ts";
import type { SendStatuses } from "./reporter.ts";

/** How long a manager may take to answer a status report. */
const answerMs = 5_000;
/**
 * A heartbeat is answered before the next one is due, or the manager counts as lost: the node shall be with another one
 * before it misses three. Within these bounds, as a busy host's answer takes a moment.
 */
const heartbeatAnswerMsMin = 1_000;
const heartbeatAnswerMsMax = 5_000;
const heartbeatPeriodMs = 1_000;
/** Whatever a manager says: a node that beats without a pause helps nobody. */
const heartbeatPeriodMsMin = 100;

/** What the session's manager serves. */
export interface ManagerClients {
  readonly logBroker: Client<typeof LogBrokerService>;
  readonly dispatcher: Client<typeof DispatcherService>;
}

/** What happens in a session, told to the agent. */
export interface SessionEvents {
  /** The session stands, or the manager has news of the node, the managers or the heartbeat. */
  onSession(response: SessionResponse, manager: ManagerClients): void;
  onAssignments(message: AssignmentsResponse): void;
  /** What was measured since the last heartbeat. */
  usages(): readonly TaskUsage[];
  /** Delivers statuses through `send` until the signal is aborted. */
  deliver(send: SendStatuses, signal: AbortSignal): Promise<never>;
}

export interface SessionOptions {
  readonly manager: string;
  readonly tls: ClientTls;
  readonly description: NodeDescription;
  /** How long the manager may take to open the session. */
  readonly openMs: number;
}

/** Runs a session to its end, which is always a Fault; "canceled" when the signal ended it. */
export async function runSession(
  options: SessionOptions,
  modules: { clock: Clock; events: SessionEvents },
  signal: AbortSignal,
): Promise<never> {
  using connection = new Connection(options.manager, { tls: options.tls });
  const scope = new AbortController();
  const ended = AbortSignal.any([signal, scope.signal]);
  const session = new Session(connection, modules, ended);
  try {
    return await session.run(options);
  } catch (thrown) {
    if (signal.aborted) throw new Fault("canceled", "the session was ended", { cause: thrown });
    throw Fault.wrap(`The session with manager ${options.manager} ended`, thrown);
  } finally {
    scope.abort(new Fault("canceled", "the session has ended"));
  }
}

class Session {
  readonly #dispatcher: Client<typeof DispatcherService>;
  readonly #manager: ManagerClients;
  readonly #clock: Clock;
  readonly #events: SessionEvents;
  readonly #signal: AbortSignal;

  constructor(
    connection: Connection,
    modules: { clock: Clock; events: SessionEvents },
    signal: AbortSignal,
  ) {
    this.#dispatcher = connection.service(DispatcherService);
    const logBroker = connection.service(LogBrokerService);
    this.#manager = { dispatcher: this.#dispatcher, logBroker };
    this.#clock = modules.clock;
    this.#events = modules.events;
    this.#signal = signal;
  }

  async run({ description, openMs }: SessionOptions): Promise<never> {
    const stream = this.#dispatcher.session({ description }, { signal: this.#signal });
    const messages = stream[Symbol.asyncIterator]();
    const first = await this.#within(openMs, messages.next(), "the manager to open a session");
    if (first.done === true) throw new Fault("unavailable", "the manager closed the session");
    const { sessionId, heartbeatPeriod } = first.value;
    this.#events.onSession(first.value, this.#manager);
    return await Promise.race([
      this.#watch(messages),
      this.#beat(sessionId, msFromDuration(heartbeatPeriod, heartbeatPeriodMs)),
      this.#receive(sessionId),
      this.#events.deliver((updates) => this.#send(sessionId, updates), this.#signal),
    ]);
  }

  async #watch(messages: AsyncIterator<SessionResponse>): Promise<never> {
    for (;;) {
      const next = await messages.next();
      if (next.done === true) throw new Fault("unavailable", "the manager closed the session");
      this.#events.onSession(next.value, this.#manager);
    }
  }

  async #beat(sessionId: string, firstPeriodMs: number): Promise<never> {
    let periodMs = firstPeriodMs;
    for (;;) {
      await this.#clock.sleep(Math.max(periodMs, heartbeatPeriodMsMin), this.#signal);
      const deadlineMs = Math.min(Math.max(periodMs, heartbeatAnswerMsMin), heartbeatAnswerMsMax);
      const { period } = await this.#dispatcher.heartbeat(
        { sessionId, usages: [...this.#events.usages()] },
        { signal: this.#signal, deadlineMs },
      );
      periodMs = msFromDuration(period, heartbeatPeriodMs);
    }
  }

  async #receive(sessionId: string): Promise<never> {
    const options = { signal: this.#signal };
    for await (const message of this.#dispatcher.assignments({ sessionId }, options)) {
      this.#events.onAssignments(message);
    }
    throw new Fault("unavailable", "the manager closed the assignment stream");
  }

  async #send(sessionId: string, updates: Parameters<SendStatuses>[0]): Promise<void> {
    await this.#dispatcher.updateTaskStatus(
      { sessionId, updates: [...updates] },
      { signal: this.#signal, deadlineMs: answerMs },
    );
  }

  /** `work`, or a Fault that says what was waited for and how long. */
  async #within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    using _timer = this.#clock.timer(ms, () =>
      reject(new Fault("deadline-exceeded", `waited ${ms / 1000} s for ${what}`)),
    );
    return await Promise.race([work, promise]);
  }
}
