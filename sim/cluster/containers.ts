/**
 * What really runs, whatever anybody believes: the containers of all hosts, and how they behave. An image's name is its
 * behaviour.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Agenda } from "../agenda.ts";
import type { SeededRandom } from "../random.ts";

export const behaviours = ["steady", "flaky", "broken", "missing", "sick", "job"] as const;
export type Behaviour = (typeof behaviours)[number];

export interface Container {
  readonly task: Task;
  readonly nodeId: string;
  readonly pid: number;
  readonly sinceMs: number;
  readonly onExit: (exitCode: number) => void;
}

export function behaviourOf(task: Task): Behaviour {
  const runtime = task.spec?.runtime;
  const image = runtime?.case === "container" ? runtime.value.image : "";
  return behaviours.find((behaviour) => image.startsWith(behaviour)) ?? "steady";
}

export class Containers {
  readonly #agenda: Agenda;
  readonly #random: SeededRandom;
  readonly #onStart: (container: Container, others: Iterable<Container>) => void;
  readonly #running = new Map<number, Container>();
  #pids = 1;

  constructor(
    modules: { readonly agenda: Agenda; readonly random: SeededRandom },
    onStart: (container: Container, others: Iterable<Container>) => void,
  ) {
    this.#agenda = modules.agenda;
    this.#random = modules.random.fork();
    this.#onStart = onStart;
  }

  get running(): Iterable<Container> {
    return this.#running.values();
  }

  isRunning(pid: number): boolean {
    return this.#running.has(pid);
  }

  /** The process ID. Ends by itself where the image is of that kind and `faulty` says that things go wrong. */
  start(
    task: Task,
    { nodeId, faulty, onExit }: Pick<Container, "nodeId" | "onExit"> & { faulty: () => boolean },
  ): number {
    const pid = this.#pids;
    this.#pids += 1;
    const container = { task, nodeId, pid, sinceMs: this.#agenda.nowMs, onExit };
    this.#onStart(container, this.#running.values());
    this.#running.set(pid, container);
    this.#live(container, faulty);
    return pid;
  }

  /** Kills it; its exit is told. */
  end(pid: number, exitCode: number): void {
    const container = this.#running.get(pid);
    if (container === undefined) return;
    this.#running.delete(pid);
    container.onExit(exitCode);
  }

  /** As when the power goes: all that ran there is gone, and nobody is told. */
  cutPower(nodeId: string): void {
    for (const [pid, container] of this.#running) {
      if (container.nodeId === nodeId) this.#running.delete(pid);
    }
  }

  #live({ task, pid }: Container, faulty: () => boolean): void {
    const random = this.#random;
    switch (behaviourOf(task)) {
      case "broken":
        return this.#agenda.after(random.between(1, 50), () => this.end(pid, 1));
      case "flaky":
        return this.#agenda.after(random.between(100, 20_000), () => {
          if (faulty()) this.end(pid, 1);
        });
      case "job": {
        const exitCode = faulty() && random.chance(0.2) ? 1 : 0;
        return this.#agenda.after(random.between(100, 5_000), () => this.end(pid, exitCode));
      }
      default:
    }
  }
}
