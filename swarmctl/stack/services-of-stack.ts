import { Fault } from "#proto/fault.ts";
import type { ListServicesResponse } from "#proto/gen/swarm/v1/control_pb.ts";
import { namespaceLabel } from "#stacks/stack.ts";
import type { ControlClient } from "../context.ts";

/** A stack is its services: without any it does not exist. */
export async function servicesOfStack(
  control: ControlClient,
  stack: string,
): Promise<ListServicesResponse> {
  const reply = await control.listServices({ labels: { [namespaceLabel]: stack } });
  if (reply.services.length > 0) return reply;
  throw new Fault("not-found", `Nothing found in stack "${stack}": see "swarmctl stack ls"`);
}
