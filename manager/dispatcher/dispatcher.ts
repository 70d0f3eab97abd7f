/**
 * What agents talk to: sessions, heartbeats, assignments, statuses. Runs on every manager, whether or not it leads: reads its
 * own store, which may be a little behind, writes through the log, and reports its sessions' beats to the leader. Owns who
 * is connected here and what each node was told; decides nothing about tasks. Every call is authenticated, and but for
 * Session names the session that it belongs to.
 *
 * Opening a session is a write, which this manager applies before it answers. Whatever another manager told the node before
 * is in its store by then, so that no node loses a task, nor a status its way, by going to a manager that was behind.
 *
 * A session lives on when its stream breaks and when the leader changes: only missed heartbeats make a node DOWN, so that
 * a short cut in the network moves no task. It ends when the store names a newer one, with whichever manager; when the
 * node is DOWN or gone, or says farewell because its host shuts down; and when no leader is reached for so long that the node must look for another manager. A node that
 * beats is READY: where the leader did not hear of it and wrote DOWN, its dispatcher writes READY again.
 */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  AssignmentsRequest,
  AssignmentsResponse,
  DispatcherService,
  FarewellRequest,
  FarewellResponse,
  FindImagePeersRequest,
  FindImagePeersResponse,
  HeartbeatRequest,
  HeartbeatResponse,
  SessionRequest,
  SessionResponse,
  UpdateTaskStatusRequest,
  UpdateTaskStatusResponse,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  FarewellResponseSchema,
  FindImagePeersResponseSchema,
  HeartbeatResponseSchema,
  SessionResponseSchema,
  UpdateTaskStatusResponseSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeState, type NodeTlsInfo } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { BatchWriter } from "../batch-writer.ts";
import { wantedTls } from "../ca/issuer.ts";
import { clusterOf, dataPathPort, heartbeatPeriodMs, networkKeys } from "../cluster.ts";
import { publicNode } from "../node.ts";
import { checkDescription, checkStatus } from "../node-input.ts";
import { graceMs } from "../node-liveness/timing.ts";
import type { Replication } from "../replication/replication.ts";
import type { Change } from "../store/objects.ts";
import type { Store } from "../store/store.ts";
import { AssignmentIndex } from "./assignment-index.ts";
import { type LogSubscriptions, streamAssignments } from "./assignment-stream.ts";
import { BeatReporter, type BeatReporterModules } from "./beat-reporter.ts";
import { Bell } from "./bell.ts";
import { findImagePeers } from "./image-peers.ts";
import { ManagerAddresses } from "./manager-addresses.ts";
import { MeasuredServices } from "./measured-services.ts";
import { planFarewells, planRegistrations, type Registration } from "./registrations.ts";
import { Session, Sessions } from "./sessions.ts";
import { type StatusReport, StatusWriter } from "./status-writer.ts";

/** How long a leader is waited for when a session opens. A change of leader is over sooner. */
const openMsMin = 2_000;

export interface DispatcherOptions {
  /** This manager's node. */
  readonly nodeId: string;
}

export interface DispatcherModules
  extends Ports,
    Pick<BeatReporterModules, "nodeLiveness" | "usageBook" | "leader"> {
  readonly store: Store;
  readonly replication: Pick<Replication, "barrier" | "leading" | "watch">;
  /** The node that makes the call, or a Fault. */
  readonly authenticate: (context: CallContext) => Node;
  readonly logSubscriptions: LogSubscriptions;
}

export class Dispatcher implements AsyncDisposable {
  readonly #options: DispatcherOptions;
  readonly #modules: DispatcherModules;
  readonly #sessions = new Sessions();
  readonly #index: AssignmentIndex;
  readonly #managers: ManagerAddresses;
  readonly #measured: MeasuredServices;
  readonly #registrations: BatchWriter<Registration>;
  readonly #farewells: BatchWriter<Session>;
  readonly #beats: BeatReporter;
  readonly #statuses: StatusWriter;
  readonly #watch: Disposable;
  /** Of the present root. */
  #wantedTls: NodeTlsInfo | undefined;
  /** Node → the bell of its session stream. */
  readonly #bells = new Map<string, Bell>();

  constructor(options: DispatcherOptions, modules: DispatcherModules) {
    this.#options = options;
    this.#modules = modules;
    const { store } = modules;
    this.#index = new AssignmentIndex(store);
    this.#managers = new ManagerAddresses(store);
    this.#measured = new MeasuredServices(store);
    this.#statuses = new StatusWriter(modules);
    this.#registrations = new BatchWriter(
      { name: "registration of nodes", gatherMs: 0, plan: planRegistrations },
      modules,
    );
    this.#farewells = new BatchWriter(
      { name: "farewells of nodes", gatherMs: 0, plan: planFarewells },
      modules,
    );
    this.#beats = new BeatReporter(
      {
        periodMs: () => this.#periodMs(),
        hasSessions: () => this.#sessions.size > 0,
        onCutOff: (fault) => this.#sessions.endAll(fault),
      },
      modules,
    );
    this.#wantedTls = tlsOf(clusterOf(store));
    this.#watch = store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
  }

  /** Rejects when the dispatcher cannot go on. */
  get failed(): Promise<never> {
    return Promise.race([
      this.#registrations.failed,
      this.#farewells.failed,
      this.#statuses.failed,
      this.#beats.failed,
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#sessions.endAll(new Fault("unavailable", "this manager is ending: go to another"));
    await this.#beats[Symbol.asyncDispose]();
    await this.#registrations[Symbol.asyncDispose]();
    await this.#farewells[Symbol.asyncDispose]();
    await this.#statuses[Symbol.asyncDispose]();
  }

  async *session(request: SessionRequest, context: CallContext): AsyncIterable<SessionResponse> {
    const { store, clock, random } = this.#modules;
    const { id: nodeId } = await this.#identify(context);
    if (request.description !== undefined) checkDescription(request.description);
    const session = new Session(newId(random), nodeId, clock.monotonic());
    this.#sessions.open(session);
    const bell = new Bell();
    this.#bells.set(nodeId, bell);
    const ended = AbortSignal.any([session.signal, context.signal]);
    try {
      await this.#register(session, request, { address: hostOf(context.peer), ended });
      for (;;) {
        ended.throwIfAborted();
        const node = store.get("node", nodeId);
        if (node === undefined) throw new Fault("not-found", "the node was removed");
        yield this.#sessionResponse(session, node);
        await bell.wait(ended);
      }
    } finally {
      // Nobody knows of it: it must not be written any more.
      if (!session.stored) session.end(new Fault("canceled", "the session was given up"));
      if (this.#bells.get(nodeId) === bell) this.#bells.delete(nodeId);
    }
  }

  async heartbeat(request: HeartbeatRequest, context: CallContext): Promise<HeartbeatResponse> {
    const node = this.#modules.authenticate(context);
    const session = this.#sessions.require(node.id, request.sessionId);
    session.beatMs = this.#modules.clock.monotonic();
    this.#beats.beat(node.id, this.#measured.accept(request.usages, node));
    return create(HeartbeatResponseSchema, { period: durationFromMs(this.#periodMs()) });
  }

  async farewell({ sessionId }: FarewellRequest, context: CallContext): Promise<FarewellResponse> {
    const node = this.#modules.authenticate(context);
    const session = this.#sessions.require(node.id, sessionId);
    // Before the node is written DOWN: a session that stands would have it READY again.
    session.end(new Fault("unavailable", "the node's host shuts down"));
    await this.#farewells.submit(session);
    return create(FarewellResponseSchema);
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
      checkStatus(taskId, status);
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

  async findImagePeers(
    { sessionId, digest }: FindImagePeersRequest,
    context: CallContext,
  ): Promise<FindImagePeersResponse> {
    const node = this.#modules.authenticate(context);
    this.#sessions.require(node.id, sessionId);
    const peers = findImagePeers(this.#modules.store, { digest, nodeId: node.id });
    return create(FindImagePeersResponseSchema, { peers: [...peers] });
  }

  /** The calling node, also one that joined through another manager just now. */
  async #identify(context: CallContext): Promise<Node> {
    const { authenticate, replication } = this.#modules;
    try {
      return authenticate(context);
    } catch {
      await replication.barrier();
      return authenticate(context);
    }
  }

  /** Resolves when the leader waits for the node's beats and the store names the session. */
  async #register(
    session: Session,
    { description }: SessionRequest,
    { address, ended }: { readonly address: string; readonly ended: AbortSignal },
  ): Promise<void> {
    const late = new AbortController();
    // Whoever lets slow hosts beat less often gives them longer for this, too.
    const openMs = Math.max(openMsMin, this.#periodMs() / 2);
    using _timer = this.#modules.clock.timer(openMs, () => {
      const message = `no leader took the session within ${openMs / 1000} s: try another manager`;
      late.abort(new Fault("unavailable", message));
    });
    const signal = AbortSignal.any([ended, late.signal]);
    await this.#beats.announce(session.nodeId, signal);
    const managerId = this.#options.nodeId;
    await orAborted(
      this.#registrations.submit({ session, managerId, description, address }),
      signal,
    );
  }

  #periodMs(): number {
    return heartbeatPeriodMs(clusterOf(this.#modules.store));
  }

  #onChange(change: Change): void {
    this.#index.onChange(change);
    if (this.#managers.onChange(change)) this.#ringAll();
    this.#onMeasured(change);
    if (change.kind === "cluster") {
      this.#wantedTls = tlsOf(change.after);
      this.#ringAll();
    }
    if (change.kind !== "node") return;
    const { before, after } = change;
    if (after !== undefined) {
      this.#onNode(before, after);
    } else if (before !== undefined) {
      const fault = new Fault("not-found", "the node was removed from the cluster");
      this.#sessions.get(before.id)?.end(fault);
    }
  }

  /** Nodes hear of services that they measure wrongly. */
  #onMeasured(change: Change): void {
    const { serviceId, nodeIds } = this.#measured.onChange(change) ?? {
      serviceId: "",
      nodeIds: [],
    };
    const measured = this.#measured.has(serviceId);
    for (const nodeId of nodeIds) {
      const known = this.#sessions.get(nodeId)?.measuredIds.has(serviceId);
      if (known !== measured) this.#bells.get(nodeId)?.ring();
    }
  }

  #onNode(before: Node | undefined, after: Node): void {
    // Status and description are what the agent said itself.
    const news = after.role !== before?.role || !sameSpec(before?.spec, after.spec);
    if (news) this.#bells.get(after.id)?.ring();
    const session = this.#sessions.get(after.id);
    if (session === undefined) return;
    session.onNewest(after.sessionId);
    const isDown = after.status?.state === NodeState.DOWN;
    if (isDown && session.stored && !session.signal.aborted) this.#onDown(session, after);
  }

  #onDown(session: Session, { status }: Node): void {
    const silentMs = this.#modules.clock.monotonic() - session.beatMs;
    if (silentMs >= graceMs(this.#periodMs())) {
      const message = "the node's heartbeats stayed away: open a new session";
      return session.end(new Fault("unavailable", message));
    }
    this.#modules.log.warn("A node that is down beats; it is ready", { nodeId: session.nodeId });
    const managerId = this.#options.nodeId;
    const address = status?.address ?? "";
    // Nobody waits for it; a failure ends the manager by way of `failed`.
    this.#registrations
      .submit({ session, managerId, description: undefined, address })
      .catch(() => undefined);
  }

  #ringAll(): void {
    for (const bell of this.#bells.values()) bell.ring();
  }

  #sessionResponse(session: Session, node: Node): SessionResponse {
    const cluster = clusterOf(this.#modules.store);
    const { periodMs, rotations } = networkKeys(cluster);
    session.measuredIds = this.#measured.idsFor(node.id);
    const response = create(SessionResponseSchema, {
      sessionId: session.id,
      measuredServiceIds: [...session.measuredIds],
      managers: [...this.#managers.listFor(node.number)],
      managerIds: [...this.#managers.nodeIds],
      heartbeatPeriod: durationFromMs(this.#periodMs()),
      dataPathPort: dataPathPort(cluster),
      networkKeyPeriod: durationFromMs(periodMs),
      networkKeyRotations: rotations,
    });
    response.node = publicNode(node);
    if (this.#wantedTls !== undefined) response.wantedTls = this.#wantedTls;
    return response;
  }
}

function tlsOf(cluster: Cluster | undefined): NodeTlsInfo | undefined {
  return cluster?.rootCa === undefined ? undefined : wantedTls(cluster);
}

export function dispatcherHandlers(dispatcher: Dispatcher): Handlers<typeof DispatcherService> {
  return {
    session: (request, context) => dispatcher.session(request, context),
    heartbeat: (request, context) => dispatcher.heartbeat(request, context),
    farewell: (request, context) => dispatcher.farewell(request, context),
    updateTaskStatus: (request, context) => dispatcher.updateTaskStatus(request, context),
    assignments: (request, context) => dispatcher.assignments(request, context),
    findImagePeers: (request, context) => dispatcher.findImagePeers(request, context),
  };
}

/** What the work comes to, unless the signal is aborted first. The work goes on. */
async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    work.catch(() => undefined);
  }
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
