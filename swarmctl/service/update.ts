import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { NetworkAttachmentConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseShellWords } from "#stacks/shell-words.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag, flags, type Pair, pair, text, wholeNumber } from "../flags/parse-flag.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { printWarnings } from "../warnings.ts";
import { addRegistryFlags, type RegistryFlags } from "./registry-flags.ts";
import { addLogFlags, logDriverFromFlags, type ServiceFlags } from "./flags.ts";
import { changeService, rollBackService, withReplicas } from "./change-service.ts";
import { changedList, changedMap } from "./changed-list.ts";
import { addContainerFlags, changedContainer, type ContainerFlags } from "./container-flags.ts";
import { addConvergeFlags, type ConvergeOptions, converge } from "./converge.ts";
import { addEndpointFlags, changedEndpoint, type EndpointFlags } from "./endpoint-flags.ts";
import { parseVariable, readEnvironment } from "./environment.ts";
import { addFileFlags, changedFiles, type FileFlags } from "./file-flags.ts";
import { addHealthFlags, type HealthFlags, healthFromFlags } from "./health-flags.ts";
import {
  changedNetworks,
  type NetworkChanges,
  parseNetworkAttachment,
} from "./network-attachment.ts";
import { addResourceFlags, changedResources, type ResourceFlags } from "./resource-flags.ts";
import { addRestartFlags, changedRestart, type RestartFlags } from "./restart-flags.ts";
import { readSecurityOpts } from "./security-opt.ts";
import { addUpdateFlags, changedReplacement, type UpdateFlags } from "./update-flags.ts";

type TaskFlags = HealthFlags &
  ContainerFlags &
  ResourceFlags &
  FileFlags &
  RestartFlags &
  NetworkChanges;

interface Options
  extends ConvergeOptions,
    TaskFlags,
    RegistryFlags,
    EndpointFlags,
    UpdateFlags,
    Pick<ServiceFlags, "logDriver" | "logOpt"> {
  readonly image?: string;
  readonly args?: string[];
  readonly envAdd?: string[];
  readonly envRm?: string[];
  readonly labelAdd?: Pair[];
  readonly labelRm?: string[];
  readonly replicas?: bigint;
  readonly force?: true;
  readonly rollback?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<service>", "ID, prefix of an ID, or name")
    .option("--image <image>", "image of the containers")
    .option("--args <command>", "replaces the command", flag(parseShellWords))
    .option("--env-add <name=value>", "environment variable: add (repeat)", flags(parseVariable))
    .option("--env-rm <name>", "environment variable: take out (repeat)", flags(text))
    .option("--label-add <key=value>", "label on the service: add (repeat)", flags(pair))
    .option("--label-rm <key>", "label on the service: take out (repeat)", flags(text))
    .option("--replicas <n>", "how many tasks", flag(wholeNumber))
    .option(
      "--network-add <network>",
      "put on a network, as --network of create (repeat)",
      flags(parseNetworkAttachment),
    )
    .option("--network-rm <network>", "take off a network, by name or ID (repeat)", flags(text))
    .option("--force", "replace all tasks even if nothing changes")
    .option("--rollback", 'the same as "service rollback"');
  addRegistryFlags(command);
  addEndpointFlags(command, "update");
  addContainerFlags(command, "update");
  addFileFlags(command, "update");
  addHealthFlags(command);
  addLogFlags(command);
  addResourceFlags(command);
  addRestartFlags(command);
  addUpdateFlags(command);
  addConvergeFlags(command).action(async (ref: string, options: Options) => {
    if (options.rollback) checkAlone(command);
    const control = await context.control();
    const service = options.rollback
      ? await rollBackService(control, ref)
      : await updateService(context, control, { ref, options });
    context.print(ref);
    if (!options.detach) await converge(context, control, service, options);
  });
}

/** A rollback brings its own spec. */
function checkAlone(command: Command): void {
  const allowed: readonly string[] = ["rollback", "detach", "quiet", "timeout", "runRoot"];
  const other = command.options.find(
    (option) =>
      command.getOptionValueSource(option.attributeName()) === "cli" &&
      !allowed.includes(option.attributeName()),
  );
  if (other !== undefined) command.error(`error: '--rollback' takes no '${other.long}' beside it`);
}

interface Request {
  readonly ref: string;
  readonly options: Options;
}

async function updateService(
  context: Context,
  control: ControlClient,
  { ref, options }: Request,
): Promise<Service> {
  const given = await withFilesRead(context, options);
  const change = async (spec: ServiceSpec) => {
    const networks = await changedNetworks(control, spec.task?.networks ?? [], given);
    const wanted = changed(spec, { ...given, networks });
    return options.withRegistryAuth ? await withRegistryAuth(context.io, wanted) : wanted;
  };
  return changeService(control, ref, change, {
    // An image that stays keeps the digest that it has.
    queryRegistry: options.image !== undefined && options.resolveImage,
    onWarnings: (warnings) => printWarnings(context, warnings),
  });
}

/** The options, with what they take from files and from swarmctl's own environment. */
async function withFilesRead({ io }: Context, options: Options): Promise<Options> {
  const { envAdd: env = [], securityOpt } = options;
  return {
    ...options,
    envAdd: await readEnvironment({ env }, io.env),
    securityOpt: await readSecurityOpts(securityOpt),
  };
}

interface Wanted extends Options {
  readonly networks: NetworkAttachmentConfig[];
}

function changed(spec: ServiceSpec, options: Wanted): ServiceSpec {
  const scaled = options.replicas === undefined ? spec : withReplicas(spec, options.replicas);
  const { annotations } = scaled;
  const labels = changedMap(annotations?.labels ?? {}, options.labelAdd, options.labelRm);
  const endpoint = changedEndpoint(scaled.endpoint, options);
  const update = changedReplacement("update", scaled.update, options);
  const rollback = changedReplacement("rollback", scaled.rollback, options);
  const labelled = {
    ...scaled,
    ...(update !== undefined && { update }),
    ...(rollback !== undefined && { rollback }),
    ...(endpoint !== undefined && { endpoint }),
    ...(annotations !== undefined && { annotations: { ...annotations, labels } }),
  };
  if (labelled.task === undefined) return labelled;
  const logDriver = logDriverFromFlags(options, labelled.task.logDriver);
  const resources = changedResources(labelled.task.resources, options);
  const restart = changedRestart(labelled.task.restart, options);
  const task = {
    ...labelled.task,
    networks: options.networks,
    ...(restart !== undefined && { restart }),
    ...(logDriver !== undefined && { logDriver }),
    ...(resources !== undefined && { resources }),
  };
  return { ...labelled, task: changedTask(task, options) };
}

function changedTask(task: TaskSpec, options: Options): TaskSpec {
  const forceUpdate = task.forceUpdate + (options.force ? 1n : 0n);
  if (task.runtime.case !== "container") {
    if (options.image === undefined) return { ...task, forceUpdate };
    throw new Fault(
      "failed-precondition",
      "Cannot change the container: the service runs no containers",
    );
  }
  const before = task.runtime.value;
  const healthcheck = healthFromFlags(options, before.healthcheck);
  const value: ContainerSpec = {
    ...changedContainer(before, options),
    ...changedFiles(before, options),
    ...(options.image !== undefined && { image: options.image }),
    ...(options.args !== undefined && { args: options.args }),
    env: changedList(before.env, { add: options.envAdd, rm: options.envRm }, variableName),
    ...(healthcheck !== undefined && { healthcheck }),
  };
  return { ...task, forceUpdate, runtime: { case: "container", value } };
}

function variableName(variable: string): string {
  return variable.split("=", 1)[0] ?? "";
}
