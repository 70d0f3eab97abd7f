/** A node's tasks, played: each runs the moment that it is assigned, and stops the moment that it is told to. */
import { create } from "@bufbuild/protobuf";
import type { Reporter } from "#agent/reporter.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState, type TaskStatus, TaskStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";

export class InstantWorker {
  readonly #reporter: Reporter;
  readonly #clock: Clock;
  readonly #statuses = new Map<string, TaskStatus>();

  constructor(modules: { readonly reporter: Reporter; readonly clock: Clock }) {
    this.#reporter = modules.reporter;
    this.#clock = modules.clock;
  }

  assign(tasks: readonly Task[]): void {
    const wanted = new Map(tasks.map((task) => [task.id, task]));
    for (const id of this.#statuses.keys()) if (!wanted.has(id)) this.#statuses.delete(id);
    for (const { id, desiredState } of tasks) {
      const state = desiredState <= TaskState.RUNNING ? TaskState.RUNNING : TaskState.SHUTDOWN;
      if ((this.#statuses.get(id)?.state ?? TaskState.NEW) >= state) continue;
      const timestamp = timestampFromMs(this.#clock.now());
      const status = create(TaskStatusSchema, { state, timestamp, attempt: 1 });
      this.#statuses.set(id, status);
      this.#reporter.report(id, status);
    }
  }

  statuses(): ReadonlyMap<string, TaskStatus> {
    return this.#statuses;
  }

  async *logs(): AsyncGenerator<never> {}
}
