/**
 * Makes a cluster have the secrets and configs of a stack, before the services that read them. What is there already must
 * be the stack's own; its labels change, its data cannot.
 */
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec, ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { type Stack, type StackFileSource, stackOf } from "./stack.ts";

type ControlClient = Client<typeof ControlService>;

export interface FileDeployOptions {
  /** Told of each step: before it for changes, in the present tense. */
  readonly onStep: (line: string) => void;
  /** The data of what the stack makes: of a file, of a variable, or what stands in the stack file. */
  readonly read: (source: StackFileSource) => Promise<Uint8Array>;
  readonly signal?: AbortSignal;
}

/** The stack, its services' references completed as managers complete them, so that an unchanged service looks the same. */
export async function deployFiles(
  control: ControlClient,
  stack: Stack,
  options: FileDeployOptions,
): Promise<Stack> {
  const { secrets, configs, externalSecrets, externalConfigs } = stack;
  const secretIds =
    secrets.length + externalSecrets.length > 0
      ? await deploySecrets(control, stack, options)
      : new Map<string, string>();
  const configIds =
    configs.length + externalConfigs.length > 0
      ? await deployConfigs(control, stack, options)
      : new Map<string, string>();
  const complete = (spec: ServiceSpec) => withIds(spec, secretIds, configIds);
  return { ...stack, services: stack.services.map(complete) };
}

async function deploySecrets(
  control: ControlClient,
  stack: Stack,
  options: FileDeployOptions,
): Promise<ReadonlyMap<string, string>> {
  const { secrets } = await control.listSecrets({}, options);
  const present = new Map(secrets.map((secret) => [nameOf(secret), secret]));
  checkExternal("Secret", stack.externalSecrets, present);
  for (const source of stack.secrets) {
    const spec = await specOf(source, options);
    const before = present.get(source.name);
    if (before === undefined) {
      options.onStep(`Creating secret ${source.name}`);
      const { secret } = await control.createSecret({ spec }, options);
      if (secret !== undefined) present.set(source.name, secret);
      continue;
    }
    checkOwner(stack, `Secret "${source.name}"`, before);
    await control.updateSecret({ ref: before.id, ...versionOf(before), spec }, options);
  }
  return idsOf(present);
}

async function deployConfigs(
  control: ControlClient,
  stack: Stack,
  options: FileDeployOptions,
): Promise<ReadonlyMap<string, string>> {
  const { configs } = await control.listConfigs({}, options);
  const present = new Map(configs.map((config) => [nameOf(config), config]));
  checkExternal("Config", stack.externalConfigs, present);
  for (const source of stack.configs) {
    const spec = await specOf(source, options);
    const before = present.get(source.name);
    if (before === undefined) {
      options.onStep(`Creating config ${source.name}`);
      const { config } = await control.createConfig({ spec }, options);
      if (config !== undefined) present.set(source.name, config);
      continue;
    }
    checkOwner(stack, `Config "${source.name}"`, before);
    await control.updateConfig({ ref: before.id, ...versionOf(before), spec }, options);
  }
  return idsOf(present);
}

/** What secrets and configs are made of alike. */
async function specOf(source: StackFileSource, { read }: FileDeployOptions) {
  const { name, labels, templateDriver } = source;
  return {
    annotations: { name, labels },
    data: await read(source),
    ...(templateDriver !== undefined && { templating: { name: templateDriver } }),
  };
}

function nameOf({ spec }: Secret | Config): string {
  return spec?.annotations?.name ?? "";
}

function versionOf({ meta }: Secret | Config) {
  return meta?.version === undefined ? {} : { version: meta.version };
}

function idsOf(present: ReadonlyMap<string, Secret | Config>): ReadonlyMap<string, string> {
  return new Map([...present].map(([name, { id }]) => [name, id]));
}

function checkExternal(
  noun: string,
  names: readonly string[],
  present: ReadonlyMap<string, unknown>,
): void {
  const missing = names.find((name) => !present.has(name));
  if (missing === undefined) return;
  const message = `${noun} "${missing}" is external to the stack and does not exist: create it first`;
  throw new Fault("failed-precondition", message);
}

function checkOwner(stack: Stack, what: string, { spec }: Secret | Config): void {
  if (stackOf(spec?.annotations?.labels) === stack.name) return;
  const message = `${what} is there already and is not the stack's: remove it, choose another name, or call it external`;
  throw new Fault("already-exists", message);
}

function withIds(
  spec: ServiceSpec,
  secretIds: ReadonlyMap<string, string>,
  configIds: ReadonlyMap<string, string>,
): ServiceSpec {
  if (spec.task?.runtime.case !== "container") return spec;
  const container = spec.task.runtime.value;
  const value: ContainerSpec = {
    ...container,
    secrets: container.secrets.map((one) => ({
      ...one,
      secretId: secretIds.get(one.secretName) ?? "",
    })),
    configs: container.configs.map((one) => ({
      ...one,
      configId: configIds.get(one.configName) ?? "",
    })),
  };
  return { ...spec, task: { ...spec.task, runtime: { case: "container", value } } };
}
