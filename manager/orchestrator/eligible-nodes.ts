/** Which nodes a service with a task on each node is for. Pure. */
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { meetsConstraints, readableConstraints } from "../scheduler/constraint.ts";
import { runsAnyOf, wantedPlatforms } from "../scheduler/platform.ts";
import type { View } from "../store/store.ts";
import { isWanted } from "../task.ts";

/**
 * takes: shall have a task, and the newest.
 * keeps: may keep the one that it has as it is, but gets none: paused, or not heard of just now.
 * none: shall have none: drained, down, or not what the service asks for.
 */
export type Eligibility = "takes" | "keeps" | "none";

/** What the service asks of nodes, read once for many of them. */
export function eligibilityFor({ spec }: Service): (node: Node) => Eligibility {
  const constraints = readableConstraints(spec?.task?.placement?.constraints ?? []);
  const platforms = wantedPlatforms(spec?.task);
  return (node) => {
    const state = node.status?.state ?? NodeState.UNKNOWN;
    const availability = node.spec?.availability ?? NodeAvailability.ACTIVE;
    if (state === NodeState.DOWN || availability === NodeAvailability.DRAIN) return "none";
    // One that joined and has not said what it is yet meets nothing.
    if (!meetsConstraints(node, constraints) || !runsAnyOf(node, platforms)) return "none";
    return state === NodeState.READY && availability === NodeAvailability.ACTIVE
      ? "takes"
      : "keeps";
  };
}

/** Why tasks that have to leave the node do, as users read it. */
export function whyLeft(node: Node | undefined): string {
  if (node === undefined) return "";
  if (node.spec?.availability === NodeAvailability.DRAIN) return "its node is drained";
  if (node.status?.state === NodeState.DOWN) return "its node is down";
  return "its node is not what the service asks for any more";
}

/** Those that shall have a task: that take one, or keep the one that they have. */
export function wantedNodes(
  view: View,
  service: Service,
  tasks: readonly Task[],
): ReadonlySet<string> {
  const eligibility = eligibilityFor(service);
  const having = new Set(tasks.filter(isWanted).map(({ nodeId }) => nodeId));
  const nodes = view.list("node").filter((node) => {
    const eligible = eligibility(node);
    return eligible === "takes" || (eligible === "keeps" && having.has(node.id));
  });
  return new Set(nodes.map(({ id }) => id));
}
