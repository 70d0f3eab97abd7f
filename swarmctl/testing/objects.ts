/** Believable objects for tests: each takes what the test is about and fills in the rest. */
import { create } from "@bufbuild/protobuf";
import {
  type Node,
  NodeSchema,
  type Service,
  ServiceSchema,
  type Task,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeState, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AttemptSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";

/** 2026-01-02T03:04:05Z */
export const nowMs = 1_767_323_045_000;

export function idOf(name: string): string {
  return name.replaceAll(/[^0-9a-z]/g, "").padEnd(25, "0");
}

export function aNode(hostname: string, leader = false): Node {
  return create(NodeSchema, {
    id: idOf(hostname),
    spec: {},
    description: { hostname, engine: { engineVersion: "0.1.0" } },
    status: { state: NodeState.READY },
    ...(leader && { managerStatus: { leader, address: "172.31.0.1:2377" } }),
  });
}

export function aServiceSpec(name: string, replicas = 1n): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name },
    mode: { case: "replicated", value: { replicas } },
    task: {
      runtime: { case: "container", value: { image: "registry:5000/busybox:1" } },
      restart: { condition: RestartCondition.ANY },
    },
  });
}

export function aService(spec: ServiceSpec, version = 1n): Service {
  return create(ServiceSchema, {
    id: idOf(spec.annotations?.name ?? ""),
    meta: { version: { index: version } },
    specVersion: { index: version },
    spec,
  });
}

export interface TaskOptions {
  readonly slot: bigint;
  readonly state: TaskState;
  readonly desired?: TaskState;
  readonly node?: string;
  readonly agoMs?: number;
  readonly err?: string;
  readonly id?: string;
  readonly attempt?: number;
  readonly attempts?: MessageInitShape<typeof AttemptSchema>[];
}

export function aTask(service: Service, options: TaskOptions): Task {
  const { slot, state, agoMs = 60_000, attempt = 1, attempts = [] } = options;
  const name = service.spec?.annotations?.name ?? "";
  const spec = service.spec?.task;
  return create(TaskSchema, {
    id: options.id ?? idOf(`${name}task${slot}`),
    meta: { createdAt: timestampFromMs(nowMs - agoMs) },
    serviceId: service.id,
    ...(service.specVersion !== undefined && { specVersion: service.specVersion }),
    ...(spec !== undefined && { spec }),
    serviceAnnotations: { name },
    slot,
    nodeId: idOf(options.node ?? "h1"),
    desiredState: options.desired ?? TaskState.RUNNING,
    status: {
      state,
      timestamp: timestampFromMs(nowMs - agoMs),
      err: options.err ?? "",
      attempt,
      attempts,
    },
  });
}
