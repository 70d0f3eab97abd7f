/** What a service waits for must make sense, and must not wait for it in its turn. Pure; the store is read for cycles. */
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { DependencyCondition } from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "../store/store.ts";
import { checkEnum, checkName, invalid } from "./field.ts";

/** A service that does not exist yet is waited for; so a cycle is seen when its last part comes. */
export function checkDependsOn({ annotations, dependsOn }: ServiceSpec, view: View): void {
  const own = annotations?.name ?? "";
  const seen = new Set<string>();
  for (const [index, { service, condition }] of dependsOn.entries()) {
    const path = `depends_on[${index}]`;
    checkName(`${path}.service`, service);
    checkEnum(`${path}.condition`, condition, DependencyCondition);
    if (service === own) throw invalid(`${path}.service`, `is "${own}" itself`);
    if (seen.has(service)) throw invalid(`${path}.service`, `names "${service}" a second time`);
    seen.add(service);
    const way = wayTo(own, service, view);
    if (way === undefined) continue;
    const circle = [own, ...way].join(" → ");
    throw invalid(`${path}.service`, `makes services wait for one another: ${circle}`);
  }
}

/** The services from one to another, each of which waits for the next; undefined: there is no such way. */
function wayTo(goal: string, start: string, view: View): readonly string[] | undefined {
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  // A map grows while it is walked through: breadth first.
  for (const name of cameFrom.keys()) {
    if (name === goal) return wayBack(name, cameFrom);
    const next = view.byName("service", name)?.spec?.dependsOn ?? [];
    for (const { service } of next) if (!cameFrom.has(service)) cameFrom.set(service, name);
  }
  return undefined;
}

function wayBack(end: string, cameFrom: ReadonlyMap<string, string | undefined>): string[] {
  const before = cameFrom.get(end);
  return before === undefined ? [end] : [...wayBack(before, cameFrom), end];
}
