/**
 * Whether a task has what its service publishes now. Only what a container would notice counts: the ports of mode host,
 * which its node maps when it starts, and the ingress network, which it is on or not. Ports of mode ingress, and the
 * endpoint's mode, come and go without it.
 */
import { equals } from "@bufbuild/protobuf";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type EndpointSpec,
  type PortConfig,
  PortConfigSchema,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";
import { publishesOnIngress } from "../ingress.ts";

export function hasPortsOf(task: Task, endpoint: EndpointSpec | undefined): boolean {
  // The allocator, which has yet to come to it, will give it what the service has then.
  if (task.networks.length === 0) return true;
  if (publishesOnIngress(endpoint)) {
    const onOverlay = task.networks.some(
      ({ network }) => network !== undefined && isOverlay(network),
    );
    if (!onOverlay) return false;
  }
  const [has, wants] = [hostPorts(task.endpoint?.spec), hostPorts(endpoint)];
  return (
    has.length === wants.length &&
    has.every((port) => wants.some((other) => equals(PortConfigSchema, port, other)))
  );
}

function hostPorts(endpoint: EndpointSpec | undefined): readonly PortConfig[] {
  return (endpoint?.ports ?? []).filter(({ publishMode }) => publishMode === PublishMode.HOST);
}
