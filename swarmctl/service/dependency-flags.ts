/** `--depends-on`: what must be before a service's first tasks start. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  type Dependency,
  DependencyCondition,
  DependencySchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { flags, oneOf, parseFields, splitAt, text } from "../flags/parse-flag.ts";
import { changedList } from "./changed-list.ts";

export interface DependencyFlags {
  readonly dependsOn?: Dependency[];
  readonly dependsOnAdd?: Dependency[];
  readonly dependsOnRm?: string[];
}

/** The second form is that of stack files. */
const conditions = {
  started: DependencyCondition.STARTED,
  healthy: DependencyCondition.HEALTHY,
  completed: DependencyCondition.COMPLETED,
  service_started: DependencyCondition.STARTED,
  service_healthy: DependencyCondition.HEALTHY,
  service_completed_successfully: DependencyCondition.COMPLETED,
};

const parseCondition = oneOf<DependencyCondition>(conditions);

export const conditionWords: Readonly<Record<DependencyCondition, string>> = {
  [DependencyCondition.STARTED]: "started",
  [DependencyCondition.HEALTHY]: "healthy",
  [DependencyCondition.COMPLETED]: "completed",
};

export function addDependencyFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("Where and after whom tasks run:");
  const form = "db, db:healthy, or service=db,condition=completed,required=false";
  if (verb === "create") {
    command.option(
      "--depends-on <service>",
      `wait for a service: ${form} (repeat)`,
      flags(parseDependency),
    );
    return;
  }
  command
    .option(
      "--depends-on-add <service>",
      `wait for a service: ${form} (repeat)`,
      flags(parseDependency),
    )
    .option("--depends-on-rm <service>", "wait for it no more, by its name (repeat)", flags(text));
}

export function parseDependency(value: string): Dependency {
  if (!value.includes("=")) {
    const [service, condition = "started"] = splitAt(value, ":");
    if (service === "") throw refusal("Name a service");
    return create(DependencySchema, { service, condition: parseCondition(condition) });
  }
  const dependency = create(DependencySchema);
  for (const { key, value: said } of parseFields(value)) {
    if (key === "service") dependency.service = said;
    else if (key === "condition") dependency.condition = parseCondition(said);
    else if (key === "required") dependency.optional = !oneOf({ true: true, false: false })(said);
    else throw refusal(`"${key}" is none of service, condition, required`);
  }
  if (dependency.service === "") throw refusal("Say service=NAME");
  return dependency;
}

export function changedDependencies(
  before: readonly Dependency[],
  { dependsOn, dependsOnAdd, dependsOnRm }: DependencyFlags,
): Dependency[] {
  const change = { add: dependsOn ?? dependsOnAdd, rm: dependsOnRm };
  return changedList(before, change, ({ service }) => service);
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
