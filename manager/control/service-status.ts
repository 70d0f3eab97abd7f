/** How many tasks a service has and shall have, as lists of services show it. Pure. */
import { create } from "@bufbuild/protobuf";
import { type ServiceStatus, ServiceStatusSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { isJob, iterationOf } from "../job.ts";
import { wantedNodes } from "../orchestrator/eligible-nodes.ts";
import { wantedReplicas } from "../service-spec.ts";
import type { View } from "../store/store.ts";
import { isWanted, stateOf } from "../task.ts";

/** Of a job only its newest run counts. */
export function serviceStatus(view: View, service: Service): ServiceStatus {
  const iteration = iterationOf(service);
  const tasks = view
    .tasksOfService(service.id)
    .filter((task) => !isJob(service) || task.jobIteration?.index === iteration);
  const running = tasks.filter((task) => isWanted(task) && stateOf(task) === TaskState.RUNNING);
  const completed = tasks.filter((task) => stateOf(task) === TaskState.COMPLETE);
  return create(ServiceStatusSchema, {
    serviceId: service.id,
    runningTasks: BigInt(running.length),
    desiredTasks: BigInt(desiredTasks(view, service, tasks)),
    completedTasks: BigInt(completed.length),
  });
}

/** As Swarm has it: of a replicated job, how many run at a time. */
function desiredTasks(view: View, service: Service, tasks: readonly Task[]): number {
  const mode = service.spec?.mode;
  switch (mode?.case) {
    case "replicatedJob":
      return Number(mode.value.maxConcurrent);
    case "global":
      return wantedNodes(view, service, tasks).size;
    case "globalJob": {
      // A node that has completed counts, whatever it is now.
      const completed = tasks.filter((task) => stateOf(task) === TaskState.COMPLETE);
      const nodes = completed.map(({ nodeId }) => nodeId);
      return new Set([...wantedNodes(view, service, tasks), ...nodes]).size;
    }
    default:
      return wantedReplicas(service);
  }
}
