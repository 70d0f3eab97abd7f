/** Makes a cluster have a stack: looks, plans, performs, and looks again when somebody changed a service meanwhile. */
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { deployFiles, type FileDeployOptions } from "./deploy-files.ts";
import {
  type DeployStep,
  planDeploy,
  type ResolveMode,
  type ServiceUpdate,
} from "./plan-deploy.ts";
import type { Stack } from "./stack.ts";

type ControlClient = Client<typeof ControlService>;

export interface DeployOptions extends FileDeployOptions {
  /** Told of what was done all the same. */
  readonly onWarnings: (warnings: readonly string[]) => void;
  readonly resolveImage: ResolveMode;
}

/** The managers write to services too, as when they allocate addresses, so a conflict soon after a change is no surprise. */
const attemptsMax = 5;

/** The stack's services as they are then, in the order of the file. */
export async function deployStack(
  control: ControlClient,
  stack: Stack,
  options: DeployOptions,
): Promise<Service[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await deployOnce(control, stack, options);
    } catch (thrown) {
      if (Fault.from(thrown).code !== "conflict" || attempt === attemptsMax) throw thrown;
    }
  }
}

async function deployOnce(
  control: ControlClient,
  given: Stack,
  options: DeployOptions,
): Promise<Service[]> {
  const stack = await deployFiles(control, given, options);
  const [{ services }, { networks }] = await Promise.all([
    control.listServices({}, options),
    control.listNetworks({}, options),
  ]);
  const deployed: Service[] = [];
  for (const step of planDeploy(stack, { services, networks }, options.resolveImage)) {
    if (step.kind !== "refresh-service") options.onStep(describeStep(step));
    const service = await performStep(control, step, options);
    if (service !== undefined) deployed.push(service);
  }
  return deployed;
}

function describeStep(step: DeployStep): string {
  switch (step.kind) {
    case "create-network":
      return `Creating network ${step.spec.annotations?.name}`;
    case "create-service":
      return `Creating service ${step.spec.annotations?.name}`;
    case "update-service":
    case "refresh-service":
      return `Updating service ${step.spec.annotations?.name}`;
    case "keep-service":
      return unchanged(step.service);
  }
}

async function performStep(
  control: ControlClient,
  step: DeployStep,
  options: DeployOptions,
): Promise<Service | undefined> {
  switch (step.kind) {
    case "create-network":
      await control.createNetwork({ spec: step.spec }, options);
      return undefined;
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
  return `Service ${service.spec?.annotations?.name} is unchanged`;
}
