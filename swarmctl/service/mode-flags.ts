/** The flags of a service's mode: how many tasks it has, and whether they run for good or to their end. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  GlobalJobSchema,
  GlobalServiceSchema,
  ReplicatedJobSchema,
  ReplicatedServiceSchema,
  type ServiceSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { flag, oneOf, wholeNumber } from "../flags/parse-flag.ts";
import { modeWord } from "./words.ts";

export type Mode = ServiceSpec["mode"];
type ModeCase = NonNullable<Mode["case"]>;

export interface ModeFlags {
  readonly mode?: ModeCase;
  readonly replicas?: bigint;
  readonly maxConcurrent?: bigint;
}

const parseMode = oneOf<ModeCase>({
  replicated: "replicated",
  global: "global",
  "replicated-job": "replicatedJob",
  "global-job": "globalJob",
});

export function addModeFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("How many tasks, and when:");
  if (verb === "create") {
    command.option(
      "--mode <mode>",
      "replicated (default), global, replicated-job or global-job",
      flag(parseMode),
    );
  }
  command
    .option(
      "--replicas <n>",
      "how many tasks; of a job, how many shall complete",
      flag(wholeNumber),
    )
    .option(
      "--max-concurrent <n>",
      "of a replicated job: tasks at a time (default: --replicas)",
      flag(wholeNumber),
    );
}

export function isJobMode(mode: Mode["case"]): boolean {
  return mode === "replicatedJob" || mode === "globalJob";
}

/** `least`: how many replicas there are where no flag says so. */
export function newMode(given: ModeFlags, least: bigint): Mode {
  const wanted = given.mode ?? "replicated";
  switch (wanted) {
    case "replicated":
      return changedMode(
        { case: wanted, value: create(ReplicatedServiceSchema, { replicas: least }) },
        given,
      );
    case "global":
      return changedMode({ case: wanted, value: create(GlobalServiceSchema) }, given);
    case "globalJob":
      return changedMode({ case: wanted, value: create(GlobalJobSchema) }, given);
    case "replicatedJob": {
      const totalCompletions = given.replicas ?? given.maxConcurrent ?? 1n;
      const maxConcurrent = given.maxConcurrent ?? totalCompletions;
      const value = create(ReplicatedJobSchema, { totalCompletions, maxConcurrent });
      return { case: wanted, value };
    }
  }
}

export function changedMode(before: Mode, { replicas, maxConcurrent }: ModeFlags): Mode {
  if (maxConcurrent !== undefined && before.case !== "replicatedJob") {
    throw misplaced("--max-concurrent", "mode replicated-job", before);
  }
  if (replicas === undefined && maxConcurrent === undefined) return before;
  if (before.case === "replicated") {
    return {
      case: before.case,
      value: { ...before.value, ...(replicas !== undefined && { replicas }) },
    };
  }
  if (before.case === "replicatedJob") {
    const value = {
      ...before.value,
      ...(replicas !== undefined && { totalCompletions: replicas }),
      ...(maxConcurrent !== undefined && { maxConcurrent }),
    };
    return { case: before.case, value };
  }
  throw misplaced("--replicas", "modes replicated and replicated-job", before);
}

function misplaced(what: string, where: string, mode: Mode): Fault {
  const problem = `${what} goes with ${where}, and this is a ${modeWord({ mode })} service`;
  return new Fault("invalid-argument", problem);
}
