/** What a node's spec must look like. Pure. */
import { type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability, NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkEnum, checkLabels, checkName, invalid } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

export function validateNodeSpec(spec: NodeSpec | undefined): NodeSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  refuseUnsupported(NodeSpecSchema, spec);
  checkLabels(spec.annotations);
  const name = spec.annotations?.name ?? "";
  if (name !== "") checkName("annotations.name", name);
  checkEnum("desired_role", spec.desiredRole, NodeRole);
  checkEnum("availability", spec.availability, NodeAvailability);
  if (spec.drainAtOnce && spec.availability !== NodeAvailability.DRAIN) {
    throw invalid("drain_at_once", "is set, but the node is not drained: leave it out");
  }
  if (spec.membership !== NodeMembership.ACCEPTED) {
    throw invalid("membership", "is not ACCEPTED: remove the node instead");
  }
  return spec;
}
