/**
 * What agents talk to: sessions, heartbeats, assignments, statuses. Owns who is connected and what each node was told;
 * decides nothing about tasks. Every call is authenticated, and but for Session names the session that it belongs to.
 *
 * A session lives on when its stream breaks: only missed heartbeats make a node DOWN, so that a short cut in the network
 * moves no task.
 */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  AssignmentsRequest,
  AssignmentsResponse,
  DispatcherService,
  HeartbeatRequest,
  HeartbeatResponse,
  SessionRequest,
  SessionResponse,
  UpdateTaskStatusRequest,
  UpdateTaskStatusResponse,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  HeartbeatResponseSchema,
  SessionResponseSchema,
  UpdateTaskStatusResponseSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { publicNode } from "../node.ts";
import type { Change } from "../store/objects.ts";
import type { Store } from "../store/store.ts";
import { AssignmentIndex } from "./assignment-index.ts";
import { type LogSubscriptions, streamAssignments } from "./assignment-stream.ts";
import { Bell } from "./bell.ts";
import { NodeRegistry } from "./node-registry.ts";
import { type Session, Sessions } from "./sessions.ts";
import { type StatusReport, StatusWriter } from "./status-writer.ts";

const reconnectMsDefault = 5_000;

export interface DispatcherOptions {
  /** Where managers are reachable, best first; told to agents. */
  readonly managers: () => readonly string[];
  /** What nodes get on top of three heartbeats to find this manager when it begins to lead. */
  readonly reconnectMs?: number;
}

export interface DispatcherModules extends Ports {
  readonly store: Store;
  /** The node that makes the call, or a Fault. */
  readonly authenticate: (context: CallContext) => Node;
  readonly logSubscriptions: LogSubscriptions;
}

export class Dispatcher implements AsyncDisposable {
  readonly #options: DispatcherOptions;
  readonly #modules: DispatcherModules;
  readonly #sessions = new Sessions();
  readonly #index: AssignmentIndex;
  readonly #registry: NodeRegistry;
  readonly #statuses: StatusWriter;
  readonly #watch: Disposable;
  /** Node → the bells of its session streams. */
  readonly #bells = new Map<string, Bell>();

  constructor(options: DispatcherOptions, modules: DispatcherModules) {
    this.#options = options;
    this.#modules = modules;
    const { store } = modules;
    this.#index = new AssignmentIndex(store);
    this.#statuses = new StatusWriter(modules);
    this.#registry = new NodeRegistry(
      { reconnectMs: options.reconnectMs ?? reconnectMsDefault },
      {
        ...modules,
        onLost: (nodeId) => {
          const fault = new Fault(
            "unavailable",
            "the node's heartbeats stayed away: open a new session",
          );
          this.#sessions.end(nodeId, fault);
        },
      },
    );
    this.#watch = store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
  }

  /** Rejects when the dispatcher cannot go on. */
  get failed(): Promise<never> {
    return Promise.race([this.#registry.failed, this.#statuses.failed]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#sessions.endAll(new Fault("unavailable", "this manager does not lead any more"));
    await this.#registry[Symbol.asyncDispose]();
    await this.#statuses[Symbol.asyncDispose]();
  }

  async *session(request: SessionRequest, context: CallContext): AsyncIterable<SessionResponse> {
    const { store, random } = this.#modules;
    const { id: nodeId } = this.#modules.authenticate(context);
    const session = this.#sessions.open(nodeId, newId(random));
    const bell = new Bell();
    this.#bells.set(nodeId, bell);
    const ended = AbortSignal.any([session.signal, context.signal]);
    try {
      await this.#registry.register({
        state: "ready",
        nodeId,
        description: request.description,
        address: hostOf(context.peer),
      });
      for (;;) {
        ended.throwIfAborted();
        const node = store.get("node", nodeId);
        if (node === undefined) throw new Fault("not-found", "the node was removed");
        yield this.#sessionResponse(session, node);
        await bell.wait(ended);
      }
    } finally {
      if (this.#bells.get(nodeId) === bell) this.#bells.delete(nodeId);
    }
  }

  async heartbeat(request: HeartbeatRequest, context: CallContext): Promise<HeartbeatResponse> {
    const node = this.#modules.authenticate(context);
    this.#sessions.require(node.id, request.sessionId);
    this.#registry.beat(node.id);
    return create(HeartbeatResponseSchema, { period: durationFromMs(this.#registry.periodMs()) });
  }

  async updateTaskStatus(
    request: UpdateTaskStatusRequest,
    context: CallContext,
  ): Promise<UpdateTaskStatusResponse> {
    const node = this.#modules.authenticate(context);
    this.#sessions.require(node.id, request.sessionId);
    const reports: StatusReport[] = [];
    for (const { taskId, status } of request.updates) {
      const task = this.#modules.store.get("task", taskId);
      // The agent may not know yet that it was deleted.
      if (task === undefined || status === undefined) continue;
      if (task.nodeId !== node.id) {
        throw new Fault("permission-denied", `task ${taskId} is not this node's`);
      }
      reports.push({ nodeId: node.id, taskId, status });
    }
    await this.#statuses.report(reports);
    return create(UpdateTaskStatusResponseSchema);
  }

  async *assignments(
    request: AssignmentsRequest,
    context: CallContext,
  ): AsyncIterable<AssignmentsResponse> {
    const node = this.#modules.authenticate(context);
    const session = this.#sessions.require(node.id, request.sessionId);
    const ended = AbortSignal.any([session.beginAssignments(), context.signal]);
    yield* streamAssignments(node.id, { ...this.#modules, index: this.#index }, ended);
  }

  #onChange(change: Change): void {
    this.#index.onChange(change);
    if (change.kind !== "node") return;
    const { before, after } = change;
    if (after !== undefined) {
      // Status and description are what the agent said itself.
      const news = after.role !== before?.role || !sameSpec(before?.spec, after.spec);
      if (news) this.#bells.get(after.id)?.ring();
    } else if (before !== undefined) {
      this.#registry.forget(before.id);
      this.#sessions.end(
        before.id,
        new Fault("not-found", "the node was removed from the cluster"),
      );
    }
  }

  #sessionResponse(session: Session, node: Node): SessionResponse {
    const response = create(SessionResponseSchema, {
      sessionId: session.id,
      managers: [...this.#options.managers()],
      heartbeatPeriod: durationFromMs(this.#registry.periodMs()),
    });
    response.node = publicNode(node);
    return response;
  }
}

/** The service as a manager offers it the whole time, whether or not it leads. */
export function dispatcherHandlers(
  current: () => Dispatcher | undefined,
): Handlers<typeof DispatcherService> {
  const leading = () => {
    const dispatcher = current();
    if (dispatcher !== undefined) return dispatcher;
    throw new Fault("unavailable", "this manager does not lead: try another");
  };
  return {
    async *session(request, context) {
      yield* leading().session(request, context);
    },
    heartbeat: async (request, context) => leading().heartbeat(request, context),
    updateTaskStatus: async (request, context) => leading().updateTaskStatus(request, context),
    async *assignments(request, context) {
      yield* leading().assignments(request, context);
    },
  };
}

function sameSpec(a: NodeSpec | undefined, b: NodeSpec | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(NodeSpecSchema, a, b);
}

/** "10.0.0.2:41234" → "10.0.0.2"; "[fd00::1]:41234" → "fd00::1". */
function hostOf(peer: string): string {
  const cut = peer.lastIndexOf(":");
  const host = peer.startsWith("unix:") || cut < 0 ? peer : peer.slice(0, cut);
  return host.replace(/^\[|\]$/g, "");
}
