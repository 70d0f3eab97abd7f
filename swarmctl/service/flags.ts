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
import { flag, flags, type Pair, pair, recordOf, wholeNumber } from "../flags/parse-flag.ts";
import { addContainerFlags, changedContainer, type ContainerFlags } from "./container-flags.ts";
import { type EnvironmentFlags, parseVariable } from "./environment.ts";
import { addEndpointFlags, changedEndpoint, type EndpointFlags } from "./endpoint-flags.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";
import { addFileFlags, type FileFlags, filesFromFlags } from "./file-flags.ts";
import { parseNetworkAttachment } from "./network-attachment.ts";
import { addResourceFlags, changedResources, type ResourceFlags } from "./resource-flags.ts";
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
    UpdateFlags {
  readonly name?: string;
  readonly replicas?: bigint;
  readonly network?: NetworkAttachmentConfig[];
  readonly label?: Pair[];
  readonly logDriver?: string;
  readonly logOpt?: Pair[];
}

export function addServiceFlags(command: Command): Command {
  command
    .option("--name <name>", "the service's name, a DNS label")
    .option("--replicas <n>", "how many tasks (default 1)", flag(wholeNumber))
    .option("-l, --label <key=value>", "label on the service (repeat)", flags(pair))
    .option(
      "--network <network>",
      "name, or name=x,alias=y,ip=10.0.1.5,ip=10.0.1.6: one address for each replica (repeat)",
      flags(parseNetworkAttachment),
    );
  addEndpointFlags(command, "create");
  command
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
  return create(ServiceSpecSchema, {
    annotations: { name: options.name ?? "", labels: recordOf(options.label) },
    mode: { case: "replicated", value: { replicas: options.replicas ?? 1n } },
    task: taskSpec(options, container),
    ...(endpoint !== undefined && { endpoint }),
    ...(update !== undefined && { update }),
    ...(rollback !== undefined && { rollback }),
  });
}

function taskSpec(options: ServiceFlags, { image, args, env }: Container): TaskSpec {
  const healthcheck = healthFromFlags(options);
  const plain = create(ContainerSpecSchema, {
    image,
    args: [...args],
    env: [...env],
    ...filesFromFlags(options),
    ...(healthcheck !== undefined && { healthcheck }),
  });
  const container = changedContainer(plain, options);
  const resources = changedResources(undefined, options);
  const logDriver = logDriverFromFlags(options);
  return create(TaskSpecSchema, {
    ...(logDriver !== undefined && { logDriver }),
    runtime: { case: "container", value: container },
    networks: options.network ?? [],
    restart: newRestart(options),
    ...(resources !== undefined && { resources }),
  });
}
