/**
 * Whether a task has what its service publishes now. Only what a container would notice counts: the ports of mode host,
 * which its node maps when it starts, and the ingress network, which it is on or not. Ports of mode ingress, and the
 * endpoint's mode, come and go without it.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type EndpointSpec, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";
import { portKey } from "../allocator/port-book.ts";
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
  return has.length === wants.length && has.every((port, index) => port === wants[index]);
}

/** As a container notices them: neither their order nor their names. */
function hostPorts(endpoint: EndpointSpec | undefined): readonly string[] {
  return (endpoint?.ports ?? [])
    .filter(({ publishMode }) => publishMode === PublishMode.HOST)
    .map((port) => `${port.hostIp} ${portKey(port)} ${port.targetPort}`)
    .toSorted();
}
