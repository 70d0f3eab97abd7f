/** How far a job's run is: its tasks are to complete, not to stay. Pure. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { isJobMode } from "./mode-flags.ts";
import type { Progress } from "./progress.ts";
import { placeOf } from "./words.ts";

export function isJob({ spec }: Service): boolean {
  return isJobMode(spec?.mode.case);
}

/** Of the run that is waited for; of none where a schedule is yet to begin one. */
export function isOfRun({ jobIteration }: Task, progress: Progress): boolean {
  return jobIteration?.index === awaitedRun(progress);
}

export function runTasks(progress: Progress): Task[] {
  return [...progress.tasks.values()].filter((task) => isOfRun(task, progress));
}

export function completedCount(progress: Progress): number {
  const completed = runTasks(progress).filter(({ status }) => status?.state === TaskState.COMPLETE);
  return new Set(completed.map(placeOf)).size;
}

/** Whether there is nothing to wait for but the time of a schedule. */
export function isOnlyScheduled(progress: Progress): boolean {
  return progress.service?.spec?.schedule !== undefined && progress.run === undefined;
}

export function awaitedRun(progress: Progress): bigint | undefined {
  return progress.run ?? newestRun(progress);
}

export function newestRun({ service }: Progress): bigint | undefined {
  return service?.jobStatus?.jobIteration?.index;
}
