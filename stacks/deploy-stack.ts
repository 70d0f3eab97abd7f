/**
 * Makes a cluster have a stack: looks, plans, performs, and looks again when somebody changed something meanwhile. Each
 * step is a step of its own: a deployment that was interrupted goes on when it is run again.
 */
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { fileApi } from "./file-api.ts";
import { type ControlClient, look, type ReadSource, readWish } from "./look.ts";
import { type DeployPlan, type DeploySettings, planDeploy, type StackWish } from "./plan-deploy.ts";
import type { FileStep } from "./plan-files.ts";
import type { NetworkStep } from "./plan-networks.ts";
import type { ServiceStep, ServiceUpdate } from "./plan-services.ts";
import { ignoreMissing, type Patience, removeNetwork } from "./remove-network.ts";
import { nameOf, type Stack } from "./stack.ts";

export interface DeployOptions extends DeploySettings, Patience {
  /** Told of each step: before it for changes, in the present tense. */
  readonly onStep: (line: string) => void;
  /** Told of what was done all the same. */
  readonly onWarnings: (warnings: readonly string[]) => void;
  readonly read: ReadSource;
}

export interface Deployed {
  /** As they are then, in the order of the stack. */
  readonly services: Service[];
  /** For `removeLeftovers`, when the services have done without it. */
  readonly leftovers: DeployPlan["leftovers"];
}

/** The managers write to services too, as when they allocate addresses, so a conflict soon after a change is no surprise. */
const attemptsMax = 5;

export async function deployStack(
  control: ControlClient,
  stack: Stack,
  options: DeployOptions,
): Promise<Deployed> {
  const wish = await readWish(stack, options.read);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await deployOnce(control, wish, options);
    } catch (thrown) {
      if (Fault.from(thrown).code !== "conflict" || attempt === attemptsMax) throw thrown;
    }
  }
}

async function deployOnce(
  control: ControlClient,
  wish: StackWish,
  options: DeployOptions,
): Promise<Deployed> {
  const plan = planDeploy(wish, await look(control, wish, options), options);
  for (const service of plan.goneServices) {
    options.onStep(`Removing service ${nameOf(service.spec)}`);
    await ignoreMissing(control.removeService({ ref: service.id }, options));
  }
  for (const step of plan.networks) await performNetworkStep(control, step, options);
  const keptServiceIds = plan.services.flatMap((step) =>
    step.kind === "update-service" ? step.service.id : [],
  );
  const filesOptions = { ...options, keptServiceIds };
  for (const step of plan.files) await performFileStep(control, step, filesOptions);
  // The services that use a rotated file are other ones now, and what was made has its ID.
  const { services: steps } =
    plan.files.length === 0 ? plan : planDeploy(wish, await look(control, wish, options), options);
  const services: Service[] = [];
  for (const step of steps) {
    if (step.kind !== "refresh-service") options.onStep(describeStep(step));
    const service = await performServiceStep(control, step, options);
    if (service !== undefined) services.push(service);
  }
  return { services, leftovers: plan.leftovers };
}

async function performNetworkStep(
  control: ControlClient,
  step: NetworkStep,
  options: DeployOptions,
): Promise<void> {
  const name = nameOf(step.spec);
  switch (step.kind) {
    case "create-network":
      options.onStep(`Creating network ${name}`);
      await control.createNetwork({ spec: step.spec }, options);
      return;
    case "replace-network":
      options.onStep(`Replacing network ${name}, which nobody uses`);
      await removeNetwork(control, step.network.id, options);
      await control.createNetwork({ spec: step.spec }, options);
      return;
    case "keep-labels":
      options.onWarnings([`network ${name} keeps the labels that it has while services are on it`]);
  }
}

interface FileStepOptions extends DeployOptions {
  /** Those that are updated anyway: once, so that a rollback has the file that went with the old spec. */
  readonly keptServiceIds: readonly string[];
}

async function performFileStep(
  control: ControlClient,
  { kind, noun, wish, present }: FileStep,
  options: FileStepOptions,
): Promise<void> {
  const api = fileApi(control, noun, options);
  if (present === undefined) {
    options.onStep(`Creating ${noun} ${wish.name}`);
    await api.create(wish);
  } else if (kind === "rotate-file") {
    options.onStep(`Rotating ${noun} ${wish.name}`);
    const { keptServiceIds } = options;
    const rotated = await api.rotate(present, { data: wish.data, keptServiceIds });
    await api.relabel(rotated ?? present, wish.labels);
  } else {
    options.onStep(`Changing the labels of ${noun} ${wish.name}`);
    await api.relabel(present, wish.labels);
  }
}

function describeStep(step: ServiceStep): string {
  switch (step.kind) {
    case "create-service":
      return `Creating service ${nameOf(step.spec)}`;
    case "update-service":
    case "refresh-service":
      return `Updating service ${nameOf(step.spec)}`;
    case "keep-service":
      return unchanged(step.service);
  }
}

async function performServiceStep(
  control: ControlClient,
  step: ServiceStep,
  options: DeployOptions,
): Promise<Service | undefined> {
  switch (step.kind) {
    case "create-service": {
      const request = { spec: step.spec, queryRegistry: step.resolve };
      const { service, warnings } = await control.createService(request, options);
      options.onWarnings(warnings);
      return service;
    }
    case "update-service":
    case "refresh-service":
      return await updateService(control, step, options);
    case "keep-service":
      return step.service;
  }
}

async function updateService(
  control: ControlClient,
  step: ServiceUpdate,
  options: DeployOptions,
): Promise<Service | undefined> {
  const { id, meta } = step.service;
  const version = meta?.version === undefined ? {} : { version: meta.version };
  const request = { ref: id, spec: step.spec, queryRegistry: step.resolve, ...version };
  const { service, warnings } = await control.updateService(request, options);
  if (step.kind === "refresh-service") {
    const isSame = service?.meta?.version?.index === meta?.version?.index;
    options.onStep(isSame ? unchanged(step.service) : describeStep(step));
  }
  options.onWarnings(warnings);
  return service;
}

function unchanged(service: Service): string {
  return `Service ${nameOf(service.spec)} is unchanged`;
}
