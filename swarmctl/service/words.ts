/** The words that users read and write for a service's choices. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceStatus } from "#proto/gen/swarm/v1/control_pb.ts";
import type { ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointAffinity,
  EndpointMode,
  PublishMode,
  RestartCondition,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { oneOf } from "../flags/parse-flag.ts";
import { portsWord } from "./publish.ts";

export const restartCondition = oneOf<RestartCondition>({
  none: RestartCondition.NONE,
  "on-failure": RestartCondition.ON_FAILURE,
  any: RestartCondition.ANY,
});

export const endpointMode = oneOf<EndpointMode>({
  vip: EndpointMode.VIP,
  dnsrr: EndpointMode.DNSRR,
});

export const endpointAffinity = oneOf<EndpointAffinity>({
  none: EndpointAffinity.NONE,
  "client-ip": EndpointAffinity.CLIENT_IP,
});

const modeWords = {
  replicated: "replicated",
  global: "global",
  replicatedJob: "replicated job",
  globalJob: "global job",
} as const;

export function modeWord(spec: Pick<ServiceSpec, "mode"> | undefined): string {
  const mode = spec?.mode.case;
  return mode === undefined ? "" : modeWords[mode];
}

/** As Docker's: jobs with how far they are, others with their limit for one node. */
export function replicasWord(spec: ServiceSpec | undefined, status: ServiceStatus | undefined) {
  const { runningTasks = 0n, desiredTasks = 0n, completedTasks = 0n } = status ?? {};
  const replicas = `${runningTasks}/${desiredTasks}`;
  switch (spec?.mode.case) {
    case "replicatedJob":
      return `${replicas} (${completedTasks}/${spec.mode.value.totalCompletions} completed)`;
    case "globalJob":
      return `${replicas} (${completedTasks}/${desiredTasks} completed)`;
    default: {
      const max = spec?.task?.placement?.maxReplicas ?? 0n;
      return max === 0n ? replicas : `${replicas} (max ${max} per node)`;
    }
  }
}

/** Of a service's spec or of a task, which both hold a TaskSpec. */
export function imageOf(holder: { readonly task?: TaskSpec | undefined } | undefined): string {
  const runtime = holder?.task?.runtime;
  return runtime?.case === "container" ? shownImage(runtime.value.image) : "";
}

/** As Docker shows it: without the digest beside a tag, and short where it is of Docker's own registry. */
function shownImage(image: string): string {
  return image
    .replace(/(:[^:/@]+)@sha256:[0-9a-f]{64}$/, "$1")
    .replace(/^docker\.io\/(?:library\/)?/, "");
}

export function serviceName(service: Service): string {
  return service.spec?.annotations?.name ?? service.id;
}

/** Ports of the routing mesh; ports on single hosts belong to tasks. */
export function servicePortsWord(service: Service): string {
  const ports = service.endpoint?.ports ?? [];
  return portsWord(ports.filter(({ publishMode }) => publishMode === PublishMode.INGRESS));
}

/** Ports of the task's own host, while it runs there. */
export function taskPortsWord(task: Task): string {
  if (task.status?.state !== TaskState.RUNNING) return "";
  const ports = task.endpoint?.ports ?? [];
  return portsWord(ports.filter(({ publishMode }) => publishMode === PublishMode.HOST));
}

/** What a service has one task of: a slot, or a node of a global service. */
export function placeOf({ slot, nodeId }: Task): string {
  return slot === 0n ? nodeId : `${slot}`;
}

/** "web.3", or "web.<node ID>" for the tasks of global services. */
export function taskName(task: Task): string {
  const service = task.serviceAnnotations?.name ?? task.serviceId;
  return `${service}.${placeOf(task)}`;
}
