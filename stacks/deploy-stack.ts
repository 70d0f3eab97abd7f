/**
 * Makes a cluster have a stack: looks, plans, performs, and looks again when somebody changed something meanwhile. Each
 * step is a step of its own: a deployment that was interrupted goes on when it is run again.
 */
import { type Code, Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { fileApi } from "./file-api.ts";
import { type ControlClient, look, type ReadSource, readWish } from "./look.ts";
import {
  type DeployPlan,
  type DeploySettings,
  type DeployWorld,
  planDeploy,
  type StackWish,
} from "./plan-deploy.ts";
import type { FileStep } from "./plan-files.ts";
import type { NetworkStep } from "./plan-networks.ts";
import { refersTo } from "./plan-prune.ts";
import {
  inPortOrder,
  portsFreedFirst,
  type ServiceStep,
  type ServiceUpdate,
} from "./plan-services.ts";
import { ignoreMissing, type Patience, removeNetwork } from "./remove-network.ts";
import { nameOf, type Stack, type StackNoun } from "./stack.ts";

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
  const world = await look(control, wish, options);
  const plan = planDeploy(wish, world, options);
  const performing = { ...options, stack: wish.stack };
  for (const service of plan.goneServices) {
    options.onStep(`Removing service ${nameOf(service.spec)}`);
    await ignoreMissing(control.removeService({ ref: service.id }, options));
  }
  for (const step of plan.networks) await performNetworkStep(control, step, performing);
  const keptServiceIds = plan.services.flatMap((step) =>
    step.kind === "update-service" ? step.service.id : [],
  );
  const filesOptions = { ...performing, keptServiceIds };
  for (const step of plan.files) await performFileStep(control, step, filesOptions);
  // The services that use a rotated file are other ones now, and what was made has its ID.
  const planAgain = async () =>
    planDeploy(wish, await look(control, wish, options), options).services;
  let steps = plan.files.length === 0 ? plan.services : await planAgain();
  const freed = portsFreedFirst(steps);
  for (const step of freed) await freePorts(control, step, performing);
  if (freed.length > 0) steps = await planAgain();
  const serviceOptions = { ...performing, rotatedServiceIds: rotatedServices(plan, world) };
  const done = new Map<ServiceStep, Service | undefined>();
  for (const step of inPortOrder(steps)) {
    done.set(step, await performServiceStep(control, step, serviceOptions));
  }
  return { services: steps.flatMap((step) => done.get(step) ?? []), leftovers: plan.leftovers };
}

/** IDs of those that the rotation of a file has updated. */
function rotatedServices({ files }: DeployPlan, { cluster }: DeployWorld): ReadonlySet<string> {
  const rotated = files.flatMap(({ kind, present }) =>
    kind === "rotate-file" && present !== undefined ? present.id : [],
  );
  const users = cluster.services.filter(({ spec }) =>
    rotated.some((id) => refersTo(spec?.task, id)),
  );
  return new Set(users.map(({ id }) => id));
}

interface PerformOptions extends DeployOptions {
  readonly stack: Stack;
}

/** What is done to what. */
interface Action {
  readonly verb: string;
  readonly noun: StackNoun;
  readonly name: string;
}

/** The step as its user knows it, with the reason why it failed, and where the file says what managers refuse. */
async function attempt<T>(stack: Stack, action: Action, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    const { verb, noun, name } = action;
    const fault = Fault.wrap(`Cannot ${verb} ${noun} "${name}"`, thrown);
    const isRefusal = refusalCodes.includes(fault.code);
    const place = isRefusal ? stack.placeOf(noun, name, Fault.from(thrown).message) : undefined;
    throw place === undefined ? fault : new Fault(fault.code, `${place}: ${fault.message}`);
  }
}

/** Of what a file can change. */
const refusalCodes: readonly Code[] = [
  "invalid-argument",
  "failed-precondition",
  "already-exists",
  "not-found",
  "unimplemented",
];

async function performNetworkStep(
  control: ControlClient,
  step: NetworkStep,
  options: PerformOptions,
): Promise<void> {
  const name = nameOf(step.spec);
  switch (step.kind) {
    case "create-network":
      options.onStep(`Creating network ${name}`);
      await attempt(
        options.stack,
        { verb: "create", noun: "network", name },
        control.createNetwork({ spec: step.spec }, options),
      );
      return;
    case "replace-network":
      options.onStep(`Replacing network ${name}, which nobody uses`);
      await attempt(
        options.stack,
        { verb: "replace", noun: "network", name },
        replaceNetwork(control, step, options),
      );
      return;
    case "keep-labels":
      options.onWarnings([`network ${name} keeps the labels that it has while services are on it`]);
  }
}

async function replaceNetwork(
  control: ControlClient,
  { network, spec }: Extract<NetworkStep, { kind: "replace-network" }>,
  options: DeployOptions,
): Promise<void> {
  await removeNetwork(control, network.id, options);
  await control.createNetwork({ spec }, options);
}

interface FileStepOptions extends PerformOptions {
  /** Those that are updated anyway: once, so that a rollback has the file that went with the old spec. */
  readonly keptServiceIds: readonly string[];
}

async function performFileStep(
  control: ControlClient,
  { kind, noun, wish, present }: FileStep,
  options: FileStepOptions,
): Promise<void> {
  const api = fileApi(control, noun, options);
  const { name } = wish;
  const { stack } = options;
  if (present === undefined) {
    options.onStep(`Creating ${noun} ${name}`);
    await attempt(stack, { verb: "create", noun, name }, api.create(wish));
    return;
  }
  if (kind === "rotate-file") {
    options.onStep(`Rotating ${noun} ${name}`);
    const { keptServiceIds } = options;
    const rotation = api.rotate(present, { data: wish.data, keptServiceIds });
    const rotated = await attempt(stack, { verb: "rotate", noun, name }, rotation);
    await api.relabel(rotated ?? present, wish.labels);
  } else {
    options.onStep(`Changing the labels of ${noun} ${name}`);
    await attempt(stack, { verb: "change", noun, name }, api.relabel(present, wish.labels));
  }
}

interface ServiceStepOptions extends PerformOptions {
  readonly rotatedServiceIds: ReadonlySet<string>;
}

async function performServiceStep(
  control: ControlClient,
  step: ServiceStep,
  options: ServiceStepOptions,
): Promise<Service | undefined> {
  switch (step.kind) {
    case "create-service": {
      const { spec, resolve: queryRegistry } = step;
      const name = nameOf(spec);
      options.onStep(`Creating service ${name}`);
      const creation = control.createService({ spec, queryRegistry }, options);
      const { service, warnings } = await attempt(
        options.stack,
        { verb: "create", noun: "service", name },
        creation,
      );
      options.onWarnings(warnings);
      return service;
    }
    case "update-service":
    case "refresh-service":
      return await updateService(control, step, options);
    case "keep-service":
      tellKept(step.service, options);
      return step.service;
  }
}

/** Between services that get one another's ports. */
async function freePorts(
  control: ControlClient,
  { service: { id, meta }, spec }: ServiceUpdate,
  options: PerformOptions,
): Promise<void> {
  const name = nameOf(spec);
  options.onStep(`Taking ports from service ${name}, which another service gets`);
  const version = meta?.version === undefined ? {} : { version: meta.version };
  const update = control.updateService({ ref: id, spec, ...version }, options);
  await attempt(options.stack, { verb: "update", noun: "service", name }, update);
}

async function updateService(
  control: ControlClient,
  { kind, service: before, spec, resolve: queryRegistry }: ServiceUpdate,
  options: ServiceStepOptions,
): Promise<Service | undefined> {
  const name = nameOf(spec);
  const line = `Updating service ${name}`;
  if (kind === "update-service") options.onStep(line);
  const { id, meta } = before;
  const version = meta?.version === undefined ? {} : { version: meta.version };
  const update = control.updateService({ ref: id, spec, queryRegistry, ...version }, options);
  const action = { verb: "update", noun: "service", name } as const;
  const { service, warnings } = await attempt(options.stack, action, update);
  if (kind === "refresh-service") {
    const isSame = service?.meta?.version?.index === meta?.version?.index;
    if (isSame) tellKept(before, options);
    else options.onStep(line);
  }
  options.onWarnings(warnings);
  return service;
}

function tellKept({ id, spec }: Service, { rotatedServiceIds, onStep }: ServiceStepOptions): void {
  const name = nameOf(spec);
  const isRotated = rotatedServiceIds.has(id);
  onStep(isRotated ? `Updating service ${name}` : `Service ${name} is unchanged`);
}
