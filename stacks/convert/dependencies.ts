/** `depends_on` → what must be before a service's first tasks start, and the order in which services are made. */
import { create } from "@bufbuild/protobuf";
import {
  type Dependency,
  DependencyCondition,
  DependencySchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { ComposeContent, ServiceEntry } from "../compose/compose-file.ts";
import { Reader, type StackContext } from "./reader.ts";

const conditions = {
  service_started: DependencyCondition.STARTED,
  service_healthy: DependencyCondition.HEALTHY,
  service_completed_successfully: DependencyCondition.COMPLETED,
} as const;

/** `reader`: of the service. */
export function dependencies(
  reader: Reader,
  { depends_on: dependsOn = {} }: ServiceEntry,
): Dependency[] {
  const { name, content } = reader.context;
  return Object.entries(dependsOn).flatMap(([key, { condition, required = true, restart }]) => {
    const place = reader.under("depends_on", key);
    const service = serviceOf(content, key);
    if (service === undefined) {
      if (!required) return [];
      throw place.fault(`names the service "${key}", which the file does not define`);
    }
    if (restart === true) {
      const problem = "is true: an update of one service restarts no other here; leave it out";
      throw place.under("restart").fault(problem);
    }
    checkCondition(place, condition, service);
    return create(DependencySchema, {
      service: `${name}_${key}`,
      condition: conditions[condition],
      optional: !required,
    });
  });
}

/** One named "constructor" is there only if the file defines it. */
function serviceOf({ services }: ComposeContent, key: string): ServiceEntry | undefined {
  return Object.hasOwn(services, key) ? services[key] : undefined;
}

/** What would be waited for for ever. */
function checkCondition(place: Reader, condition: keyof typeof conditions, on: ServiceEntry): void {
  const isJob = on.deploy?.mode?.endsWith("-job") ?? false;
  if (condition === "service_completed_successfully" && !isJob) {
    throw place.fault(
      "waits for the end of a service that is to run for ever: give that deploy.mode replicated-job",
    );
  }
  if (condition === "service_healthy" && on.healthcheck?.disable === true) {
    throw place.fault("waits for the health of a service whose health check is off");
  }
}

/** Keys of services, each after those that it depends on, else in the order of the file. */
export function startOrder(context: StackContext): string[] {
  const done = new Set<string>();
  for (const key of Object.keys(context.content.services)) addWithDependencies(context, key, done);
  return [...done];
}

/** Without recursion: a chain may be as long as the file. */
function addWithDependencies(context: StackContext, start: string, done: Set<string>): void {
  /** From the first on, each depends on the next, with those that are still to be looked at. */
  const path = new Map([[start, dependencyKeys(context, start)]]);
  const keys = [start];
  for (let key = keys.at(-1); key !== undefined; key = keys.at(-1)) {
    const on = path.get(key)?.pop();
    if (on === undefined) {
      done.add(key);
      path.delete(key);
      keys.pop();
    } else if (path.has(on)) {
      const circle = [...keys.slice(keys.indexOf(on)), on].join(" -> ");
      const place = new Reader(context, ["services", key, "depends_on", on]);
      throw place.fault(`closes a circle, in which nobody could start: ${circle}`);
    } else if (!done.has(on) && serviceOf(context.content, on) !== undefined) {
      path.set(on, dependencyKeys(context, on));
      keys.push(on);
    }
  }
}

/** The last one first. */
function dependencyKeys({ content }: StackContext, key: string): string[] {
  return Object.keys(serviceOf(content, key)?.depends_on ?? {}).toReversed();
}
