import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { parseShellWords } from "#stacks/shell-words.ts";
import type { Context } from "../context.ts";
import { flag, wholeNumber } from "../flags/parse-flag.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { printWarnings } from "../warnings.ts";
import { addRegistryFlags, type RegistryFlags } from "./registry-flags.ts";
import { addLogFlags, logDriverFromFlags, type ServiceFlags } from "./flags.ts";
import { changeService, withReplicas } from "./change-service.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";
import { addConvergeFlags, type ConvergeOptions, converge } from "./converge.ts";

interface Options
  extends ConvergeOptions, RegistryFlags, HealthFlags, Pick<ServiceFlags, "logDriver" | "logOpt"> {
  readonly image?: string;
  readonly args?: string[];
  readonly replicas?: bigint;
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<service>", "ID, prefix of an ID, or name")
    .option("--image <image>", "image of the containers")
    .option("--args <command>", "replaces the command", flag(parseShellWords))
    .option("--replicas <n>", "how many tasks", flag(wholeNumber))
    .option("--force", "replace all tasks even if nothing changes");
  addRegistryFlags(command);
  addHealthFlags(command);
  addLogFlags(command);
  addConvergeFlags(command).action(async (ref: string, options: Options) => {
    const control = await context.control();
    const change = async (spec: ServiceSpec) => {
      const wanted = changed(spec, options);
      return options.withRegistryAuth ? await withRegistryAuth(context.io, wanted) : wanted;
    };
    const service = await changeService(control, ref, change, {
      // An image that stays keeps the digest that it has.
      queryRegistry: options.image !== undefined && options.resolveImage,
      onWarnings: (warnings) => printWarnings(context, warnings),
    });
    context.print(ref);
    if (!options.detach) await converge(context, control, service, options);
  });
}

function changed(spec: ServiceSpec, options: Options): ServiceSpec {
  const scaled = options.replicas === undefined ? spec : withReplicas(spec, options.replicas);
  if (scaled.task === undefined) return scaled;
  const logDriver = logDriverFromFlags(options, scaled.task.logDriver);
  const task = { ...scaled.task, ...(logDriver !== undefined && { logDriver }) };
  return { ...scaled, task: changedTask(task, options) };
}

function changedTask(task: TaskSpec, options: Options): TaskSpec {
  const forceUpdate = task.forceUpdate + (options.force ? 1n : 0n);
  const before = task.runtime.case === "container" ? task.runtime.value : undefined;
  const healthcheck = healthFromFlags(options, before?.healthcheck);
  const changes: Partial<ContainerSpec> = {
    ...(options.image !== undefined && { image: options.image }),
    ...(options.args !== undefined && { args: options.args }),
    ...(healthcheck !== undefined && { healthcheck }),
  };
  if (Object.keys(changes).length === 0) return { ...task, forceUpdate };
  if (before === undefined) {
    throw new Fault(
      "failed-precondition",
      "Cannot change the container: the service runs no containers",
    );
  }
  return { ...task, forceUpdate, runtime: { case: "container", value: { ...before, ...changes } } };
}
