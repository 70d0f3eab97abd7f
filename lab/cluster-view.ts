/**
 * What a cluster says of itself, followed live: nodes, services and tasks as the manager's watch tells of them. Waiting
 * here is on events: a condition is looked at when something changed, and at no other time.
 */
import { Fault } from "#proto/fault.ts";
import { ControlService, type WatchResponse } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Node,
  type Service,
  StoreActionKind,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Connection } from "#proto/grpc.ts";
import type { Host } from "./host.ts";

export class ClusterView implements Disposable {
  readonly #connection: Connection;
  readonly #ended = new AbortController();
  readonly #nodes = new Map<string, Node>();
  readonly #services = new Map<string, Service>();
  readonly #tasks = new Map<string, Task>();
  readonly #listeners = new Set<() => void>();
  #failure: Fault | undefined;

  /** Resolves when the present state is known. */
  static async open(manager: Host): Promise<ClusterView> {
    const view = new ClusterView(manager.connect("manager"));
    try {
      await view.until("the cluster's state", () => view.#nodes.size > 0, 10_000);
      return view;
    } catch (thrown) {
      view[Symbol.dispose]();
      throw thrown;
    }
  }

  /** For `open`. */
  constructor(connection: Connection) {
    this.#connection = connection;
    void this.#follow();
  }

  get nodes(): readonly Node[] {
    return [...this.#nodes.values()];
  }

  hostnameOf(task: Task): string {
    return this.#nodes.get(task.nodeId)?.description?.hostname ?? "nowhere";
  }

  service(name: string): Service | undefined {
    return [...this.#services.values()].find((service) => service.spec?.annotations?.name === name);
  }

  /** Every task of the service, past ones too, by slot and age. */
  tasks(serviceName: string): readonly Task[] {
    const service = this.service(serviceName);
    return [...this.#tasks.values()]
      .filter((task) => task.serviceId === service?.id)
      .toSorted((a, b) => Number(a.slot - b.slot));
  }

  /** The tasks of the service that run and shall run, on nodes that are there. */
  running(serviceName: string): readonly Task[] {
    return this.tasks(serviceName).filter(
      (task) => task.desiredState === TaskState.RUNNING && task.status?.state === TaskState.RUNNING,
    );
  }

  /** Calls the listener after each change. */
  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** The condition's first value that is neither undefined nor false. `what` completes "waited 5 s for …". */
  async until<T>(
    what: string,
    condition: (view: ClusterView) => T | undefined | false,
    timeoutMs: number,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = () => {
      if (this.#failure !== undefined) reject(this.#failure);
      const value = condition(this);
      if (value !== undefined && value !== false) resolve(value);
    };
    const late = () =>
      reject(new Fault("deadline-exceeded", `waited ${timeoutMs / 1000} s for ${what}`));
    const timer = setTimeout(late, timeoutMs);
    using _listening = this.onChange(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#ended.abort(new Fault("canceled", "the view was closed"));
    this.#connection[Symbol.dispose]();
  }

  async #follow(): Promise<void> {
    const control = this.#connection.service(ControlService);
    try {
      for await (const response of control.watch({}, { signal: this.#ended.signal })) {
        this.#fold(response);
        for (const listener of this.#listeners) listener();
      }
      this.#failure = new Fault("unavailable", "the manager ended the watch");
    } catch (thrown) {
      this.#failure = Fault.wrap("Cannot follow the cluster", thrown);
    }
    for (const listener of this.#listeners) listener();
  }

  #fold(response: WatchResponse): void {
    for (const { action } of response.events) {
      const changed = action?.object?.object;
      const removed = action?.kind === StoreActionKind.REMOVE;
      switch (changed?.case) {
        case "node":
          put(this.#nodes, changed.value, removed);
          break;
        case "service":
          put(this.#services, changed.value, removed);
          break;
        case "task":
          put(this.#tasks, changed.value, removed);
          break;
        default:
      }
    }
  }
}

function put<T extends { readonly id: string }>(
  objects: Map<string, T>,
  object: T,
  removed: boolean,
): void {
  if (removed) objects.delete(object.id);
  else objects.set(object.id, object);
}
