/**
 * What a deployment of a stack would do to a cluster. Pure: it compares the stack with what is there and touches nothing.
 * A service is updated only if its spec differs, and everything that is not the stack's own is left alone.
 */
import { equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Network, type NetworkSpec, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Stack, stackOf } from "./stack.ts";

export type DeployStep =
  | { readonly kind: "create-network"; readonly spec: NetworkSpec }
  | { readonly kind: "create-service"; readonly spec: ServiceSpec }
  | { readonly kind: "update-service"; readonly service: Service; readonly spec: ServiceSpec }
  | { readonly kind: "keep-service"; readonly service: Service };

/** Everything of the cluster that a deployment looks at. */
export interface ClusterObjects {
  readonly services: readonly Service[];
  readonly networks: readonly Network[];
}

/** Networks first. What cannot be done is refused before anything is. */
export function planDeploy(stack: Stack, cluster: ClusterObjects): DeployStep[] {
  const networks = byName(cluster.networks);
  const services = byName(cluster.services);
  for (const name of stack.externalNetworks) {
    if (networks.has(name)) continue;
    throw new Fault(
      "failed-precondition",
      `Network "${name}" is external to the stack and does not exist: create it first`,
    );
  }
  return [
    ...stack.networks.flatMap((spec) => planNetwork(stack, spec, networks)),
    ...stack.services.map((spec) => planService(stack, spec, services)),
  ];
}

function planNetwork(
  stack: Stack,
  spec: NetworkSpec,
  networks: ReadonlyMap<string, Network>,
): DeployStep[] {
  const name = spec.annotations?.name ?? "";
  const present = networks.get(name)?.spec;
  if (present === undefined) return [{ kind: "create-network", spec }];
  checkOwner(stack, `Network "${name}"`, present);
  if (equals(NetworkSpecSchema, present, spec)) return [];
  throw new Fault(
    "failed-precondition",
    `Network "${name}" differs from the file and cannot be changed in place: remove the stack, then deploy it anew`,
  );
}

function planService(
  stack: Stack,
  spec: ServiceSpec,
  services: ReadonlyMap<string, Service>,
): DeployStep {
  const name = spec.annotations?.name ?? "";
  const service = services.get(name);
  if (service?.spec === undefined) return { kind: "create-service", spec };
  checkOwner(stack, `Service "${name}"`, service.spec);
  const wanted = keepForceUpdate(spec, service.spec);
  if (equals(ServiceSpecSchema, service.spec, wanted)) return { kind: "keep-service", service };
  return { kind: "update-service", service, spec: wanted };
}

/** A file says nothing of restarts that users have forced; forgetting them would force one more. */
function keepForceUpdate(spec: ServiceSpec, present: ServiceSpec): ServiceSpec {
  if (spec.task === undefined) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate: present.task?.forceUpdate ?? 0n } };
}

function checkOwner(stack: Stack, what: string, { annotations }: NetworkSpec | ServiceSpec): void {
  const owner = stackOf(annotations?.labels);
  if (owner === stack.name) return;
  const whose = owner === undefined ? "belongs to no stack" : `belongs to the stack "${owner}"`;
  throw new Fault(
    "already-exists",
    `${what} is there already and ${whose}: remove it, or choose another name`,
  );
}

interface Named {
  readonly spec?: NetworkSpec | ServiceSpec | undefined;
}

function byName<T extends Named>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map((object) => [object.spec?.annotations?.name ?? "", object]));
}
