/**
 * What a cluster says of itself, followed live: nodes, services and tasks as a manager's watch tells of them. Of several
 * managers another one is followed when the first is lost; what was known holds until the other has told everything.
 * Waiting here is on events: a condition is looked at when something changed, and at no other time.
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
import type { Host } from "./host.ts";

/** By ID. */
class Objects {
  readonly nodes = new Map<string, Node>();
  readonly services = new Map<string, Service>();
  readonly tasks = new Map<string, Task>();

  fold(response: WatchResponse): void {
    for (const { action } of response.events) {
      const changed = action?.object?.object;
      const removed = action?.kind === StoreActionKind.REMOVE;
      switch (changed?.case) {
        case "node":
          put(this.nodes, changed.value, removed);
          break;
        case "service":
          put(this.services, changed.value, removed);
          break;
        case "task":
          put(this.tasks, changed.value, removed);
          break;
        default:
      }
    }
  }
}

export class ClusterView implements Disposable {
  readonly #managers: readonly Host[];
  readonly #ended = new AbortController();
  #objects = new Objects();
  readonly #listeners = new Set<() => void>();
  #failure: Fault | undefined;

  /** Resolves when the present state is known. */
  static async open(...managers: readonly Host[]): Promise<ClusterView> {
    const view = new ClusterView(managers);
    try {
      await view.until("the cluster's state", () => view.nodes.length > 0, 10_000);
      return view;
    } catch (thrown) {
      view[Symbol.dispose]();
      throw thrown;
    }
  }

  /** For `open`. */
  constructor(managers: readonly Host[]) {
    this.#managers = managers;
    void this.#followAll();
  }

  get nodes(): readonly Node[] {
    return [...this.#objects.nodes.values()];
  }

  hostnameOf(task: Task): string {
    return this.#objects.nodes.get(task.nodeId)?.description?.hostname ?? "nowhere";
  }

  service(name: string): Service | undefined {
    return [...this.#objects.services.values()].find(
      (service) => service.spec?.annotations?.name === name,
    );
  }

  /** Every task of the service, past ones too, by slot and age. */
  tasks(serviceName: string): readonly Task[] {
    const service = this.service(serviceName);
    return [...this.#objects.tasks.values()]
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
  }

  /** One manager after the other; over when each was asked and none told anything. */
  async #followAll(): Promise<void> {
    let failure: Fault | undefined;
    for (let turn = 0, silent = 0; silent < this.#managers.length; turn++) {
      const manager = this.#managers[turn % this.#managers.length];
      if (manager === undefined || this.#ended.signal.aborted) break;
      silent += 1;
      try {
        await this.#follow(manager, () => (silent = 0));
        failure = new Fault("unavailable", "the manager ended the watch");
      } catch (thrown) {
        failure = Fault.wrap("Cannot follow the cluster", thrown);
      }
    }
    this.#failure = failure;
    this.#tell();
  }

  async #follow(manager: Host, onState: () => void): Promise<void> {
    using connection = manager.connect("manager");
    const control = connection.service(ControlService);
    const objects = new Objects();
    for await (const response of control.watch({}, { signal: this.#ended.signal })) {
      objects.fold(response);
      // The last message of the present state is the first with a version.
      if (response.version === undefined) continue;
      this.#objects = objects;
      onState();
      this.#tell();
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
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
