/** The flags of where a service's tasks may run, and who goes first where there is not room for all. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type GenericResource,
  GenericResourceSchema,
  type PlacementPreference,
  PlacementPreferenceSchema,
  PlacementSchema,
  ResourceRequirementsSchema,
  ResourcesSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { priorityMax } from "#proto/priority.ts";
import { flag, flags, integer, splitAt, wholeNumber } from "../flags/parse-flag.ts";
import { changedList } from "./changed-list.ts";

export interface PlacementFlags {
  readonly constraint?: string[];
  readonly constraintAdd?: string[];
  readonly constraintRm?: string[];
  readonly placementPref?: PlacementPreference[];
  readonly placementPrefAdd?: PlacementPreference[];
  readonly placementPrefRm?: PlacementPreference[];
  readonly replicasMaxPerNode?: bigint;
  readonly genericResource?: GenericResource[];
  readonly genericResourceAdd?: GenericResource[];
  readonly genericResourceRm?: string[];
  readonly priority?: number;
}

export function addPlacementFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("Where and after whom tasks run:");
  const lists: readonly (readonly [string, string, string, (text: string) => unknown])[] = [
    [
      "constraint",
      "expression",
      "nodes that it may run on: node.labels.disk==ssd",
      parseConstraint,
    ],
    [
      "placement-pref",
      "strategy",
      "spread over a label's values: spread=node.labels.zone",
      parsePreference,
    ],
    ["generic-resource", "kind=count", "what its node must have free: gpu=1", parseGenericResource],
  ];
  for (const [name, value, help, parse] of lists) {
    if (verb === "create") command.option(`--${name} <${value}>`, `${help} (repeat)`, flags(parse));
    else {
      const parseRm = name === "generic-resource" ? kindOf : parse;
      command.option(`--${name}-add <${value}>`, `${help}: add (repeat)`, flags(parse));
      command.option(`--${name}-rm <${value}>`, `${help}: take out (repeat)`, flags(parseRm));
    }
  }
  command
    .option(
      "--replicas-max-per-node <n>",
      "tasks on one node at most; 0: no limit",
      flag(wholeNumber),
    )
    .option(
      "--priority <n>",
      "who goes first where there is not room for all",
      flag(parsePriority),
    );
}

/** Managers know which nodes there may be; here only what is no expression at all is refused. */
function parseConstraint(value: string): string {
  if (/^\s*[^\s=!]+\s*[=!]=\s*\S/.test(value)) return value;
  throw refusal("Write KEY==VALUE or KEY!=VALUE, such as node.role==worker");
}

function parsePreference(value: string): PlacementPreference {
  const [strategy, spreadDescriptor = ""] = splitAt(value, "=");
  if (strategy !== "spread" || spreadDescriptor === "") {
    throw refusal("Write spread=node.labels.NAME or spread=engine.labels.NAME");
  }
  return create(PlacementPreferenceSchema, {
    preference: { case: "spread", value: { spreadDescriptor } },
  });
}

function parseGenericResource(value: string): GenericResource {
  const [kind, count = ""] = splitAt(value, "=");
  // As Docker's: which of the named ones a task gets, the managers say.
  if (kind === "" || !/^[1-9]\d{0,17}$/.test(count)) {
    throw refusal("Write KIND=COUNT with a count of 1 or more, such as gpu=1");
  }
  return create(GenericResourceSchema, {
    resource: { case: "discrete", value: { kind, value: BigInt(count) } },
  });
}

function kindOf(value: string): string {
  return splitAt(value, "=")[0];
}

function parsePriority(value: string): number {
  const priority = Number(integer(value));
  if (Math.abs(priority) <= priorityMax) return priority;
  throw refusal(`Write a number from -${priorityMax} to ${priorityMax}`);
}

/** The task's spec with what the flags say of its placement. */
export function withPlacement(task: TaskSpec, given: PlacementFlags): TaskSpec {
  const placement = changedPlacement(task.placement, given);
  const resources = changedGenericResources(task.resources, given);
  return {
    ...task,
    ...(placement !== undefined && { placement }),
    ...(resources !== undefined && { resources }),
    ...(given.priority !== undefined && { priority: given.priority }),
  };
}

function changedPlacement(
  before: TaskSpec["placement"],
  given: PlacementFlags,
): TaskSpec["placement"] {
  const constraints = {
    add: given.constraint ?? given.constraintAdd,
    rm: given.constraintRm?.map(constraintKey),
  };
  const preferences = {
    add: given.placementPref ?? given.placementPrefAdd,
    rm: given.placementPrefRm?.map(preferenceKey),
  };
  const { replicasMaxPerNode: maxReplicas } = given;
  const lists = [constraints.add, constraints.rm, preferences.add, preferences.rm];
  if (maxReplicas === undefined && lists.every((list) => list === undefined)) return before;
  const placement = before ?? create(PlacementSchema);
  return {
    ...placement,
    constraints: changedList(placement.constraints, constraints, constraintKey),
    preferences: changedList(placement.preferences, preferences, preferenceKey),
    ...(maxReplicas !== undefined && { maxReplicas }),
  };
}

/** Spaces around the sign mean nothing. */
function constraintKey(constraint: string): string {
  return constraint.replaceAll(/\s+/g, "");
}

function preferenceKey({ preference }: PlacementPreference): string {
  return preference.value?.spreadDescriptor ?? "";
}

function changedGenericResources(
  before: TaskSpec["resources"],
  given: PlacementFlags,
): TaskSpec["resources"] {
  const change = {
    add: given.genericResource ?? given.genericResourceAdd,
    rm: given.genericResourceRm,
  };
  if (change.add === undefined && change.rm === undefined) return before;
  const resources = before ?? create(ResourceRequirementsSchema);
  const reservations = resources.reservations ?? create(ResourcesSchema);
  const generic = changedList(reservations.generic, change, genericKind);
  return { ...resources, reservations: { ...reservations, generic } };
}

function genericKind({ resource }: GenericResource): string {
  return resource.value?.kind ?? "";
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
