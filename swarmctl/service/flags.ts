/** The flags that describe a service, and the ServiceSpec that they make. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  ContainerSpecSchema,
  type ServiceSpec,
  ServiceSpecSchema,
  type TaskSpec,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Driver,
  DriverSchema,
  type NetworkAttachmentConfig,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { addContainerFlags, changedContainer, type ContainerFlags } from "./container-flags.ts";
import { type EnvironmentFlags, parseVariable } from "./environment.ts";
import { addEndpointFlags, changedEndpoint, type EndpointFlags } from "./endpoint-flags.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";
import { addFileFlags, type FileFlags, filesFromFlags } from "./file-flags.ts";
import { parseNetworkAttachment } from "./network-attachment.ts";
import { addResourceFlags, changedResources, type ResourceFlags } from "./resource-flags.ts";
import { addModeFlags, isJobMode, type ModeFlags, newMode } from "./mode-flags.ts";
import { addPlacementFlags, type PlacementFlags, withPlacement } from "./placement-flags.ts";
import { addScheduleFlags, changedSchedule, type ScheduleFlags } from "./schedule-flags.ts";
import { addAutoscaleFlags, type AutoscaleFlags, changedAutoscale } from "./autoscale-flags.ts";
import {
  addDependencyFlags,
  changedDependencies,
  type DependencyFlags,
} from "./dependency-flags.ts";
import { addRestartFlags, newRestart, type RestartFlags } from "./restart-flags.ts";
import { addUpdateFlags, changedReplacement, type UpdateFlags } from "./update-flags.ts";

export interface ServiceFlags
  extends EnvironmentFlags,
    HealthFlags,
    ContainerFlags,
    ResourceFlags,
    RestartFlags,
    FileFlags,
    EndpointFlags,
    UpdateFlags,
    ModeFlags,
    PlacementFlags,
    ScheduleFlags,
    AutoscaleFlags,
    DependencyFlags {
  readonly name?: string;
  readonly network?: NetworkAttachmentConfig[];
  readonly label?: Pair[];
  readonly logDriver?: string;
  readonly logOpt?: Pair[];
}

export function addServiceFlags(command: Command): Command {
  command
    .option(
      "--name <name>",
      "the service's name, a DNS label (default: the image's, and some letters)",
    )
    .option("-l, --label <key=value>", "label on the service (repeat)", flags(pair))
    .option(
      "--network <network>",
      "name, or name=x,alias=y,ip=10.0.1.5,ip=10.0.1.6: one address for each replica (repeat)",
      flags(parseNetworkAttachment),
    );
  addModeFlags(command, "create");
  addScheduleFlags(command, "create");
  addAutoscaleFlags(command, "create");
  addPlacementFlags(command, "create");
  addDependencyFlags(command, "create");
  addEndpointFlags(command, "create");
  command
    .optionsGroup("Containers:")
    .option("-e, --env <name=value>", "environment variable (repeat)", flags(parseVariable))
    .option("--env-file <file>", "file of environment variables (repeat)", flags(String));
  addFileFlags(command, "create");
  addContainerFlags(command, "create");
  addHealthFlags(command);
  addRestartFlags(command);
  addUpdateFlags(command);
  addLogFlags(command);
  addResourceFlags(command);
  return command;
}

export function addLogFlags(command: Command): Command {
  return command
    .optionsGroup("Logs:")
    .option("--log-driver <name>", "where logs go: local, json-file, syslog, journald or none")
    .option("--log-opt <key=value>", "option of the log driver (repeat)", flags(pair));
}

/** What was said takes the place of all that was said before: options belong to their driver. */
export function logDriverFromFlags(
  { logDriver, logOpt }: Pick<ServiceFlags, "logDriver" | "logOpt">,
  before?: Driver,
): Driver | undefined {
  if (logDriver === undefined && logOpt === undefined) return before;
  const name = logDriver ?? before?.name ?? "";
  return create(DriverSchema, { name, options: recordOf(logOpt) });
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

export function serviceSpecFromFlags(options: ServiceFlags, container: Container): ServiceSpec {
  const endpoint = changedEndpoint(undefined, options);
  const update = changedReplacement("update", undefined, options);
  const rollback = changedReplacement("rollback", undefined, options);
  const schedule = changedSchedule(undefined, options);
  const autoscale = changedAutoscale(undefined, options);
  const mode = newMode(
    // Who names a schedule means a job.
    schedule === undefined ? options : { mode: "replicatedJob", ...options },
    autoscale?.minReplicas ?? 1n,
  );
  return create(ServiceSpecSchema, {
    annotations: { name: options.name ?? "", labels: recordOf(options.label) },
    mode,
    task: taskSpec(options, { container, isJob: isJobMode(mode.case) }),
    dependsOn: changedDependencies([], options),
    ...(schedule !== undefined && { schedule }),
    ...(autoscale !== undefined && { autoscale }),
    ...(endpoint !== undefined && { endpoint }),
    ...(update !== undefined && { update }),
    ...(rollback !== undefined && { rollback }),
  });
}

interface TaskParts {
  readonly container: Container;
  readonly isJob: boolean;
}

function taskSpec(options: ServiceFlags, { container, isJob }: TaskParts): TaskSpec {
  const { image, args, env } = container;
  const healthcheck = healthFromFlags(options);
  const plain = create(ContainerSpecSchema, {
    image,
    args: [...args],
    env: [...env],
    ...filesFromFlags(options),
    ...(healthcheck !== undefined && { healthcheck }),
  });
  const value = changedContainer(plain, options);
  const resources = changedResources(undefined, options);
  const logDriver = logDriverFromFlags(options);
  const task = create(TaskSpecSchema, {
    ...(logDriver !== undefined && { logDriver }),
    runtime: { case: "container", value },
    networks: options.network ?? [],
    restart: newRestart(options, isJob),
    ...(resources !== undefined && { resources }),
  });
  return withPlacement(task, options);
}
