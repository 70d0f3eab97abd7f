/**
 * A node: an agent that holds a session with one manager, folds assignments and reports, and the tasks that it looks
 * after. It loses power, is cut off from all managers, and its agent is started anew while containers go on.
 */
import { applyAssignments, type Assigned, nothingAssigned } from "#agent/assigned.ts";
import { Reporter } from "#agent/reporter.ts";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  HeartbeatRequestSchema,
  SessionRequestSchema,
  AssignmentsRequestSchema,
  AssignmentsResponseSchema,
  UpdateTaskStatusRequestSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { NodeDescription } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import { msFromDuration } from "#proto/time.ts";
import type { SimulatedManager } from "./manager.ts";
import { SimulatedTask } from "./simulated-task.ts";
import { hop, type World } from "./world.ts";

/** How long an agent waits for an answer. */
const answerMs = 1_000;

export class Host {
  readonly nodeId: string;
  readonly #description: NodeDescription;
  readonly #world: World;
  /** On disk: they outlive the agent and the power. */
  readonly #tasks = new Map<string, SimulatedTask>();
  readonly #leaving = new Set<string>();
  #reporter = new Reporter();
  #assigned: Assigned = nothingAssigned;
  #agent: AbortController | undefined;
  #session: AbortController | undefined;
  #isCutOff = false;

  constructor(nodeId: string, description: NodeDescription, world: World) {
    this.nodeId = nodeId;
    this.#description = description;
    this.#world = world;
  }

  get isUp(): boolean {
    return this.#agent !== undefined;
  }

  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  /** The agent starts, and takes up what an earlier one left. */
  start(): void {
    if (this.#agent !== undefined) return;
    this.#agent = new AbortController();
    this.#assigned = nothingAssigned;
    this.#reporter = new Reporter();
    for (const task of this.#tasks.values()) task.recover();
    for (const [taskId, task] of this.#tasks) this.#reporter.report(taskId, task.status);
    void this.#hold(this.#agent.signal).catch((thrown: unknown) => {
      this.#world.failure ??= Fault.from(thrown);
    });
  }

  /** The agent ends; containers go on. */
  stop(): void {
    this.#agent?.abort(new Fault("canceled", "the agent ends"));
    this.#agent = undefined;
    this.#leaving.clear();
    for (const task of this.#tasks.values()) task.letGo();
  }

  cutPower(): void {
    this.stop();
    this.#world.containers.cutPower(this.nodeId);
  }

  /** No manager is reached, and none reaches it. */
  cutOff(): void {
    this.#isCutOff = true;
    const session = this.#session;
    // Some time passes until either side gives up.
    this.#world.agenda.after(this.#world.random.between(0, 2_000), () =>
      session?.abort(new Fault("unavailable", "the connection is lost")),
    );
  }

  reconnect(): void {
    this.#isCutOff = false;
  }

  /** The manager is gone: whoever is connected to it sees that. */
  onManagerLost(nodeId: string): void {
    if (this.#managerId === nodeId) {
      this.#session?.abort(new Fault("unavailable", "the manager is gone"));
    }
  }

  #managerId = "";

  async #hold(agent: AbortSignal): Promise<void> {
    const { clock, random, managers } = this.#world;
    while (!agent.aborted) {
      const up = [...managers.values()].filter(({ isUp }) => isUp);
      const manager = random.pick(up);
      if (manager !== undefined && !this.#isCutOff) {
        await this.#runSession(manager, agent).catch((thrown: unknown) => this.#onEnd(thrown));
      }
      if (!agent.aborted) await clock.sleep(random.between(50, 800));
    }
  }

  /** Sessions end with Faults; anything else is a defect of what is simulated. */
  #onEnd(thrown: unknown): void {
    const fault = Fault.from(thrown);
    this.#world.trace.add(this.nodeId, () => `the session ends: ${fault.message}`);
    if (fault.code === "internal") this.#world.failure ??= fault;
  }

  async #runSession(manager: SimulatedManager, agent: AbortSignal): Promise<void> {
    const session = new AbortController();
    this.#session = session;
    this.#managerId = manager.nodeId;
    const signal = AbortSignal.any([agent, session.signal]);
    const call: CallContext = {
      signal,
      metadata: new Map(),
      peer: `${this.nodeId}:1`,
      caller: { kind: "node", nodeId: this.nodeId, role: "worker", clusterId: "cluster" },
    };
    try {
      await this.#travel(signal);
      const request = create(SessionRequestSchema, { description: this.#description });
      const responses = manager.dispatcher.session(request, call)[Symbol.asyncIterator]();
      const first = await responses.next();
      if (first.done === true) throw new Fault("unavailable", "the manager closed the session");
      const { sessionId, heartbeatPeriod } = first.value;
      const periodMs = msFromDuration(heartbeatPeriod, 1_000);
      await Promise.race([
        aborted(signal),
        drain(responses),
        this.#beat(manager, { call, sessionId, periodMs }),
        this.#receive(manager, sessionId, call),
        this.#reporter.run((updates) => this.#send(manager, { call, sessionId, updates }), signal),
      ]);
    } finally {
      session.abort(new Fault("canceled", "the session has ended"));
    }
  }

  async #beat(
    manager: SimulatedManager,
    { call, sessionId, periodMs }: { call: CallContext; sessionId: string; periodMs: number },
  ): Promise<never> {
    const request = create(HeartbeatRequestSchema, { sessionId });
    for (;;) {
      await this.#world.clock.sleep(periodMs, call.signal);
      await this.#travel(call.signal);
      await manager.dispatcher.heartbeat(request, call);
      await this.#travel(call.signal);
    }
  }

  async #receive(manager: SimulatedManager, sessionId: string, call: CallContext): Promise<never> {
    const request = create(AssignmentsRequestSchema, { sessionId });
    let known = nothingAssigned;
    for await (const sent of manager.dispatcher.assignments(request, call)) {
      await this.#travel(call.signal);
      // Managers send changes as bytes that they share.
      const bytes = toBinary(AssignmentsResponseSchema, sent);
      const message = fromBinary(AssignmentsResponseSchema, bytes);
      this.#assigned = applyAssignments(this.#assigned, message, known);
      if (!this.#assigned.complete) continue;
      known = this.#assigned;
      this.#converge();
    }
    throw new Fault("unavailable", "the manager closed the assignments");
  }

  async #send(
    manager: SimulatedManager,
    {
      call,
      sessionId,
      updates,
    }: {
      call: CallContext;
      sessionId: string;
      updates: Parameters<Parameters<Reporter["run"]>[0]>[0];
    },
  ): Promise<void> {
    await this.#travel(call.signal);
    const request = create(UpdateTaskStatusRequestSchema, { sessionId, updates: [...updates] });
    await manager.dispatcher.updateTaskStatus(request, call);
    await this.#travel(call.signal);
  }

  #converge(): void {
    for (const [taskId, task] of this.#assigned.tasks) {
      if (this.#leaving.has(taskId)) continue;
      const known = this.#tasks.get(taskId);
      if (known !== undefined) {
        known.update(task);
        continue;
      }
      const { nodeId } = this;
      const report = (id: string, status: SimulatedTask["status"]) =>
        this.#reporter.report(id, status);
      const begun = new SimulatedTask(task, { nodeId, report }, this.#world);
      this.#tasks.set(taskId, begun);
      report(taskId, begun.status);
      begun.begin();
    }
    for (const [taskId, task] of this.#tasks) {
      if (this.#assigned.tasks.has(taskId) || this.#leaving.has(taskId)) continue;
      this.#leaving.add(taskId);
      task.remove(() => this.#onRemoved(taskId));
    }
  }

  #onRemoved(taskId: string): void {
    this.#tasks.delete(taskId);
    this.#leaving.delete(taskId);
    // It may have been assigned anew meanwhile.
    if (this.#assigned.complete && this.#assigned.tasks.has(taskId)) this.#converge();
  }

  /** One message's way to a manager or from one. Of a host that is cut off, it does not arrive. */
  async #travel(signal: AbortSignal): Promise<void> {
    await hop(this.#world);
    signal.throwIfAborted();
    if (!this.#isCutOff) return;
    await this.#world.clock.sleep(answerMs, signal);
    throw new Fault("deadline-exceeded", "nobody answered");
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function drain(responses: AsyncIterator<unknown>): Promise<never> {
  while ((await responses.next()).done !== true);
  throw new Fault("unavailable", "the manager closed the session");
}
