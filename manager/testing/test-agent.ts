/**
 * An agent without containers, over real gRPC: holds a session, folds its assignments, and reports tasks as running or
 * stopped the moment that it is told to have them so.
 */
import { unpackEndpoint } from "#proto/endpoint-wire.ts";
import {
  AssignmentChange_Action as Action,
  type Assignment,
  AssignmentsResponse_Type as ResponseType,
  type AssignmentsResponse,
  DispatcherService,
  type SessionResponse,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Client, Connection } from "#proto/grpc.ts";
import { timestampFromMs } from "#proto/time.ts";

function idOf(item: Exclude<Assignment["item"], { case: undefined }>): string {
  if (item.case === "peer") return item.value.nodeId;
  return item.case === "endpoint" ? unpackEndpoint(item.value).id : item.value.id;
}

export interface TestAgentOptions {
  readonly nodeId: string;
  readonly address: string;
  /** 0: no heartbeats. */
  readonly heartbeatMs?: number;
  /** Whether tasks run as soon as they arrive. */
  readonly runs?: boolean;
}

export class TestAgent implements Disposable {
  readonly items = new Map<string, Assignment["item"]>();
  readonly messages: AssignmentsResponse[] = [];
  /** What the session said last. */
  news: SessionResponse | undefined;
  readonly dispatcher: Client<typeof DispatcherService>;
  readonly #options: TestAgentOptions;
  readonly #connection: Connection;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #sessionId = "";
  #ended: unknown;

  constructor(options: TestAgentOptions) {
    this.#options = options;
    this.#connection = new Connection(options.address, {
      metadata: { "swarm-node-id": options.nodeId },
    });
    this.dispatcher = this.#connection.service(DispatcherService);
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  /** What ended the session or the assignment stream. */
  get ended(): unknown {
    return this.#ended;
  }

  get tasks(): readonly Task[] {
    return [...this.items.values()].flatMap((item) => (item.case === "task" ? item.value : []));
  }

  /** Opens a session; resolves when the complete set is there. */
  async connect(): Promise<SessionResponse> {
    const { signal } = this.#stop;
    const { nodeId } = this.#options;
    const description = { hostname: nodeId, dataPathAddress: "192.0.2.1" };
    const stream = this.dispatcher.session({ description }, { signal })[Symbol.asyncIterator]();
    const first = await stream.next();
    if (first.done === true) throw new Error("the session ended at once");
    this.#sessionId = first.value.sessionId;
    this.news = first.value;
    this.#inBackground(async () => {
      for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
        this.news = next.value;
        for (const listener of this.#listeners) listener();
      }
    });
    this.#inBackground(() => this.#receive(this.#sessionId));
    if (this.#options.heartbeatMs !== 0) this.#beat();
    await this.until(() => this.messages.some(({ more }) => !more));
    return first.value;
  }

  /** Waits, by events, until the condition holds of what this agent has. */
  until(condition: () => boolean, deadlineMs = 5_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!condition()) return;
        clearTimeout(timeout);
        this.#listeners.delete(check);
        resolve();
      };
      const timeout = setTimeout(() => {
        this.#listeners.delete(check);
        reject(
          new Error(`agent ${this.#options.nodeId} waited ${deadlineMs} ms: ${String(condition)}`),
        );
      }, deadlineMs);
      this.#listeners.add(check);
      check();
    });
  }

  async report(
    taskId: string,
    state: TaskState,
    status: { attempt?: number; message?: string } = {},
  ) {
    const timestamp = timestampFromMs(Date.now());
    await this.dispatcher.updateTaskStatus({
      sessionId: this.#sessionId,
      updates: [{ taskId, status: { attempt: 1, ...status, state, timestamp } }],
    });
  }

  /** As when the host loses its power: nothing is said any more. */
  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#connection[Symbol.dispose]();
  }

  #beat(): void {
    const timer = setInterval(() => {
      this.dispatcher.heartbeat({ sessionId: this.#sessionId }).catch(() => undefined);
    }, this.#options.heartbeatMs ?? 1_000);
    this.#stop.signal.addEventListener("abort", () => clearInterval(timer));
  }

  async #receive(sessionId: string): Promise<void> {
    for await (const message of this.dispatcher.assignments({ sessionId }, this.#stop)) {
      if (message.type === ResponseType.COMPLETE && message.appliesTo === "") this.items.clear();
      for (const { action, assignment } of message.changes) {
        const item = assignment?.item;
        if (item?.case === undefined) continue;
        const id = idOf(item);
        if (action === Action.REMOVE) this.items.delete(`${item.case}:${id}`);
        else this.items.set(`${item.case}:${id}`, item);
        if (action === Action.UPDATE && item.case === "task") this.#obey(item.value);
      }
      this.messages.push(message);
      for (const listener of this.#listeners) listener();
    }
  }

  #obey(task: Task): void {
    if (this.#options.runs !== true) return;
    this.#inBackground(() => this.report(task.id, obeyed(task)));
  }

  #inBackground(work: () => Promise<unknown>): void {
    work().catch((thrown: unknown) => {
      if (this.#stop.signal.aborted) return;
      this.#ended = thrown;
      for (const listener of this.#listeners) listener();
    });
  }
}

function obeyed({ desiredState }: Task): TaskState {
  if (desiredState > TaskState.COMPLETE) return TaskState.SHUTDOWN;
  return desiredState <= TaskState.READY ? TaskState.READY : TaskState.RUNNING;
}
