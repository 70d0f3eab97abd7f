/** What a service's wishes for nodes must look like: constraints, preferences, platforms, a limit per node, priority. Pure. */
import type { ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Placement, PlacementPreference, Resources } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkKind, kindOf } from "#proto/generic-resource.ts";
import { priorityMax } from "#proto/priority.ts";
import { parseConstraints, parseSpreadKey } from "../scheduler/constraint.ts";
import { checkRange, invalid, parsed } from "./field.ts";

/** As Kubernetes has it for users' own. */

/** A number of generic resources that no host has. */
const genericMax = 2n ** 31n - 1n;

export function checkPlacement(path: string, task: TaskSpec, mode: ServiceSpec["mode"]): void {
  if (task.placement !== undefined) checkWishes(`${path}.placement`, task.placement);
  const perNode = mode.case === "global" || mode.case === "globalJob";
  if (perNode && (task.placement?.maxReplicas ?? 0n) > 0n) {
    const problem = "is set: a global service has one task on each node; use the mode replicated";
    throw invalid(`${path}.placement.max_replicas (--replicas-max-per-node)`, problem);
  }
  const priority = { min: -priorityMax, max: priorityMax };
  checkRange(`${path}.priority`, task.priority, priority);
}

function checkWishes(path: string, placement: Placement): void {
  for (const [index, text] of placement.constraints.entries()) {
    parsed(`${path}.constraints[${index}]`, () => parseConstraints([text]));
  }
  for (const [index, preference] of placement.preferences.entries()) {
    checkPreference(`${path}.preferences[${index}]`, preference);
  }
}

function checkPreference(path: string, { preference }: PlacementPreference): void {
  if (preference.case === undefined) throw invalid(path, "is empty: use spread");
  const { spreadDescriptor } = preference.value;
  parsed(`${path}.spread`, () => parseSpreadKey(spreadDescriptor));
}

/** A service asks for a number of each kind; which pieces it gets is the scheduler's. */
export function checkGeneric(path: string, { generic }: Resources): void {
  const kinds = new Set<string>();
  for (const [index, one] of generic.entries()) {
    const itemPath = `${path}.generic[${index}]`;
    const { resource } = one;
    if (resource.case === undefined) throw invalid(itemPath, "is empty: use KIND=COUNT");
    const kind = kindOf(one);
    parsed(itemPath, () => {
      checkKind(kind);
    });
    if (resource.case === "named") {
      const problem = `is "${kind}=${resource.value.value}", a piece by name: ask for a count, such as ${kind}=1`;
      throw invalid(itemPath, problem);
    }
    checkRange(`${itemPath} (${kind})`, resource.value.value, { min: 1n, max: genericMax });
    if (kinds.has(kind)) throw invalid(itemPath, `names the kind "${kind}" again: add the counts`);
    kinds.add(kind);
  }
}
