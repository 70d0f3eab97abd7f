/** The flags that change a service, and what they make of its spec: those of `service update` and `service plan`. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { NetworkAttachmentConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseShellWords } from "#stacks/shell-words.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag, flags, type Pair, pair, text } from "../flags/parse-flag.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { addAutoscaleFlags, type AutoscaleFlags, changedAutoscale } from "./autoscale-flags.ts";
import { changedList, changedMap } from "./changed-list.ts";
import { addContainerFlags, changedContainer, type ContainerFlags } from "./container-flags.ts";
import {
  addDependencyFlags,
  changedDependencies,
  type DependencyFlags,
} from "./dependency-flags.ts";
import { addEndpointFlags, changedEndpoint, type EndpointFlags } from "./endpoint-flags.ts";
import { parseVariable, readEnvironment } from "./environment.ts";
import { addFileFlags, changedFiles, type FileFlags } from "./file-flags.ts";
import { addLogFlags, logDriverFromFlags, type ServiceFlags } from "./flags.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";
import { addModeFlags, changedMode, type ModeFlags } from "./mode-flags.ts";
import {
  changedNetworks,
  type NetworkChanges,
  parseNetworkAttachment,
} from "./network-attachment.ts";
import { addPlacementFlags, type PlacementFlags, withPlacement } from "./placement-flags.ts";
import { addRegistryFlags, type RegistryFlags } from "./registry-flags.ts";
import { addResourceFlags, changedResources, type ResourceFlags } from "./resource-flags.ts";
import { addRestartFlags, changedRestart, type RestartFlags } from "./restart-flags.ts";
import { addScheduleFlags, changedSchedule, type ScheduleFlags } from "./schedule-flags.ts";
import { readSecurityOpts } from "./security-opt.ts";
import { addUpdateFlags, changedReplacement, type UpdateFlags } from "./update-flags.ts";

type TaskFlags = HealthFlags &
  ContainerFlags &
  ResourceFlags &
  FileFlags &
  RestartFlags &
  PlacementFlags &
  NetworkChanges;

export interface ChangeFlags
  extends TaskFlags,
    RegistryFlags,
    EndpointFlags,
    UpdateFlags,
    ModeFlags,
    ScheduleFlags,
    AutoscaleFlags,
    DependencyFlags,
    Pick<ServiceFlags, "logDriver" | "logOpt"> {
  readonly image?: string;
  readonly args?: string[];
  readonly envAdd?: string[];
  readonly envRm?: string[];
  readonly labelAdd?: Pair[];
  readonly labelRm?: string[];
  readonly force?: true;
  readonly rollback?: true;
}

export function addChangeFlags(command: Command): Command {
  command
    .argument("<service>", "ID, prefix of an ID, or name")
    .option("--image <image>", "image of the containers")
    .option("--args <command>", "replaces the command", flag(parseShellWords))
    .option("--env-add <name=value>", "environment variable: add (repeat)", flags(parseVariable))
    .option("--env-rm <name>", "environment variable: take out (repeat)", flags(text))
    .option("--label-add <key=value>", "label on the service: add (repeat)", flags(pair))
    .option("--label-rm <key>", "label on the service: take out (repeat)", flags(text))
    .option(
      "--network-add <network>",
      "put on a network, as --network of create (repeat)",
      flags(parseNetworkAttachment),
    )
    .option("--network-rm <network>", "take off a network, by name or ID (repeat)", flags(text))
    .option("--force", "replace all tasks even if nothing changes; a job runs anew")
    .option("--rollback", 'the same as "service rollback"');
  addModeFlags(command, "update");
  addScheduleFlags(command, "update");
  addAutoscaleFlags(command, "update");
  addPlacementFlags(command, "update");
  addDependencyFlags(command, "update");
  addRegistryFlags(command);
  addEndpointFlags(command, "update");
  addContainerFlags(command, "update");
  addFileFlags(command, "update");
  addHealthFlags(command);
  addLogFlags(command);
  addResourceFlags(command);
  addRestartFlags(command);
  addUpdateFlags(command);
  return command;
}

/** A rollback brings its own spec. `beside`: flags that say nothing of the spec. */
export function checkRollbackAlone(command: Command, beside: readonly string[]): void {
  const allowed: readonly string[] = ["rollback", "runRoot", "host", "context", ...beside];
  const other = command.options.find(
    (option) =>
      command.getOptionValueSource(option.attributeName()) === "cli" &&
      !allowed.includes(option.attributeName()),
  );
  if (other !== undefined) command.error(`error: '--rollback' takes no '${other.long}' beside it`);
}

export type SpecChange = (spec: ServiceSpec) => Promise<ServiceSpec>;

/** Reads what the flags name of files and of swarmctl's own environment, once. */
export async function specChange(
  { io }: Context,
  control: ControlClient,
  options: ChangeFlags,
): Promise<SpecChange> {
  const { envAdd: env = [], securityOpt } = options;
  const given = {
    ...options,
    envAdd: await readEnvironment({ env }, io.env),
    securityOpt: await readSecurityOpts(securityOpt),
  };
  return async (spec) => {
    const networks = await changedNetworks(control, spec.task?.networks ?? [], given);
    const wanted = changed(spec, { ...given, networks });
    return options.withRegistryAuth ? await withRegistryAuth(io, wanted) : wanted;
  };
}

interface Wanted extends ChangeFlags {
  readonly networks: NetworkAttachmentConfig[];
}

function changed(spec: ServiceSpec, options: Wanted): ServiceSpec {
  const { annotations, schedule: _, autoscale: __, ...rest } = spec;
  const labels = changedMap(annotations?.labels ?? {}, options.labelAdd, options.labelRm);
  const endpoint = changedEndpoint(spec.endpoint, options);
  const update = changedReplacement("update", spec.update, options);
  const rollback = changedReplacement("rollback", spec.rollback, options);
  const schedule = changedSchedule(spec.schedule, options);
  const autoscale = changedAutoscale(spec.autoscale, options);
  return {
    ...rest,
    mode: changedMode(spec.mode, options),
    dependsOn: changedDependencies(spec.dependsOn, options),
    ...(schedule !== undefined && { schedule }),
    ...(autoscale !== undefined && { autoscale }),
    ...(update !== undefined && { update }),
    ...(rollback !== undefined && { rollback }),
    ...(endpoint !== undefined && { endpoint }),
    ...(annotations !== undefined && { annotations: { ...annotations, labels } }),
    ...(spec.task !== undefined && { task: changedTask(spec.task, options) }),
  };
}

function changedTask(before: TaskSpec, options: Wanted): TaskSpec {
  const logDriver = logDriverFromFlags(options, before.logDriver);
  const resources = changedResources(before.resources, options);
  const restart = changedRestart(before.restart, options);
  const task = {
    ...before,
    forceUpdate: before.forceUpdate + (options.force ? 1n : 0n),
    networks: options.networks,
    ...(restart !== undefined && { restart }),
    ...(logDriver !== undefined && { logDriver }),
    ...(resources !== undefined && { resources }),
  };
  return withPlacement({ ...task, runtime: changedRuntime(task.runtime, options) }, options);
}

function changedRuntime(runtime: TaskSpec["runtime"], options: Wanted): TaskSpec["runtime"] {
  if (runtime.case !== "container") {
    if (options.image === undefined) return runtime;
    const problem = "Cannot change the container: the service runs no containers";
    throw new Fault("failed-precondition", problem);
  }
  const before = runtime.value;
  const healthcheck = healthFromFlags(options, before.healthcheck);
  const value: ContainerSpec = {
    ...changedContainer(before, options),
    ...changedFiles(before, options),
    ...(options.image !== undefined && { image: options.image }),
    ...(options.args !== undefined && { args: options.args }),
    env: changedList(before.env, { add: options.envAdd, rm: options.envRm }, variableName),
    ...(healthcheck !== undefined && { healthcheck }),
  };
  return { case: "container", value };
}

function variableName(variable: string): string {
  return variable.split("=", 1)[0] ?? "";
}
