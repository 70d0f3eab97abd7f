/**
 * What a deployment would do to a cluster, object by object and field by field, and which tasks it would replace. Nothing
 * is changed: managers are asked what they would answer (dry runs), and where they cannot know, because an object is to
 * be made first that the service refers to, they are asked which tasks the same service, forced to update, would replace.
 */
import { equals } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type ServiceSpec,
  ServiceSpecSchema,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { type FieldChange, fieldChanges } from "./field-changes.ts";
import { type FileNoun, fileName } from "./file-api.ts";
import { type ControlClient, look, type LookOptions, type ReadSource, readWish } from "./look.ts";
import { type DeployPlan, type DeploySettings, planDeploy } from "./plan-deploy.ts";
import { type FileStep, fileStepChanges } from "./plan-files.ts";
import {
  asManagersShow,
  containerOf,
  portKey,
  portMoves,
  publishedPorts,
  type ServiceUpdate,
} from "./plan-services.ts";
import { nameOf, type Stack } from "./stack.ts";

export interface ObjectChange {
  readonly noun: "service" | "network" | FileNoun;
  readonly name: string;
  readonly change: "created" | "updated" | "replaced" | "rotated" | "removed";
  readonly fields: readonly FieldChange[];
  /** IDs of tasks that would be replaced, or removed. */
  readonly taskIds: readonly string[];
}

export interface DiffOptions extends DeploySettings, LookOptions {
  readonly read: ReadSource;
}

/** In the order in which it would be done; empty where nothing would change. */
export async function diffStack(
  control: ControlClient,
  stack: Stack,
  options: DiffOptions,
): Promise<ObjectChange[]> {
  const wish = await readWish(stack, options.read);
  const world = await look(control, wish, options);
  const plan = planDeploy(wish, world, options);
  const services = new ServiceDiff(control, plan, options);
  const { leftovers } = plan;
  return [
    ...(await services.gone()),
    ...plan.networks.flatMap(networkChange),
    ...plan.files.map(fileChange),
    ...(await services.deployed()),
    ...(await services.rotated(world.cluster.services)),
    ...leftovers.secrets.map((file) => removal("secret", fileName(file))),
    ...leftovers.configs.map((file) => removal("config", fileName(file))),
    ...leftovers.networks.map(({ spec }) => removal("network", nameOf(spec))),
  ];
}

function removal(noun: ObjectChange["noun"], name: string, taskIds: string[] = []): ObjectChange {
  return { noun, name, change: "removed", fields: [], taskIds };
}

function networkChange(step: DeployPlan["networks"][number]): ObjectChange[] {
  if (step.kind === "keep-labels") return [];
  const before = step.kind === "replace-network" ? step.network.spec : undefined;
  const fields = fieldChanges(NetworkSpecSchema, before, step.spec);
  const change = before === undefined ? "created" : "replaced";
  return [{ noun: "network", name: nameOf(step.spec), change, fields, taskIds: [] }];
}

function fileChange(step: FileStep): ObjectChange {
  const { noun, wish, kind } = step;
  const change =
    kind === "create-file" ? "created" : kind === "rotate-file" ? "rotated" : "updated";
  return { noun, name: wish.name, change, fields: fileStepChanges(step), taskIds: [] };
}

class ServiceDiff {
  readonly #control: ControlClient;
  readonly #plan: DeployPlan;
  readonly #options: LookOptions;
  /** Of what is to be made, managers do not know yet. */
  readonly #refersToNew: boolean;
  /** Published ports that services give up, as `portKey` has them. */
  readonly #freed: ReadonlySet<string>;

  constructor(control: ControlClient, plan: DeployPlan, options: LookOptions) {
    this.#control = control;
    this.#plan = plan;
    this.#options = options;
    this.#refersToNew =
      plan.networks.some(({ kind }) => kind === "create-network") ||
      plan.files.some(({ kind }) => kind === "create-file");
    this.#freed = new Set([
      ...plan.goneServices.flatMap(({ spec }) => [...publishedPorts(spec)]),
      ...plan.services.flatMap((step) => [...portMoves(step).frees]),
    ]);
  }

  async gone(): Promise<ObjectChange[]> {
    return await Promise.all(
      this.#plan.goneServices.map(async ({ id, spec }) => {
        const request = { serviceRef: id, runningOnly: true };
        const { tasks } = await this.#control.listTasks(request, this.#options);
        return removal(
          "service",
          nameOf(spec),
          tasks.map((task) => task.id),
        );
      }),
    );
  }

  async deployed(): Promise<ObjectChange[]> {
    const changes: ObjectChange[] = [];
    for (const step of this.#plan.services) {
      if (step.kind === "create-service") changes.push(created(step.spec));
      else if (step.kind !== "keep-service") changes.push(...(await this.#updated(step)));
    }
    return changes;
  }

  /** Services that are updated for nothing but a new version of a file, also such as are not of the stack. */
  async rotated(services: readonly Service[]): Promise<ObjectChange[]> {
    const changes: ObjectChange[] = [];
    for (const service of services) {
      const fields = this.#rotatedFields(service.spec);
      const isUpdated = this.#plan.services.some(
        (step) =>
          (step.kind === "update-service" || step.kind === "refresh-service") &&
          step.service.id === service.id,
      );
      if (fields.length === 0 || isUpdated || service.spec === undefined) continue;
      const taskIds = await this.#replacedBy(service, forced(service.spec));
      changes.push(updated(service.spec, fields, taskIds));
    }
    return changes;
  }

  async #updated({ service, spec, resolve }: ServiceUpdate): Promise<ObjectChange[]> {
    const { spec: before } = service;
    if (before === undefined) return [];
    const rotated = this.#rotatedFields(before);
    if (this.#refersToNew) {
      const shown = asManagersShow(spec, before);
      const fields = [...fieldChanges(ServiceSpecSchema, before, shown), ...rotated];
      if (fields.length === 0) return [];
      const asked =
        rotated.length === 0 && sameTask(shown, before)
          ? shown
          : forced({ ...shown, ...taskOf(before) });
      return [updated(spec, fields, await this.#replacedBy(service, asked))];
    }
    const asked = this.#asIfFree(spec);
    const request = { ...reference(service), spec: asked, queryRegistry: resolve, dryRun: true };
    const answer = await this.#control.updateService(request, this.#options);
    const after = answer.service?.spec && withEndpointOf(answer.service.spec, spec);
    const fields = [...fieldChanges(ServiceSpecSchema, before, after), ...rotated];
    if (fields.length === 0) return [];
    if (rotated.length === 0) return [updated(spec, fields, answer.replacedTaskIds)];
    return [updated(spec, fields, await this.#replacedBy(service, forced(before)))];
  }

  async #replacedBy(service: Service, spec: ServiceSpec): Promise<readonly string[]> {
    const request = { ...reference(service), spec: this.#asIfFree(spec), dryRun: true };
    return (await this.#control.updateService(request, this.#options)).replacedTaskIds;
  }

  /** Managers would refuse a port that another service has still; one that they choose says as much of the tasks. */
  #asIfFree(spec: ServiceSpec): ServiceSpec {
    if (spec.endpoint === undefined) return spec;
    const ports = spec.endpoint.ports.map((port) =>
      this.#freed.has(portKey(port)) ? { ...port, publishedPort: 0 } : port,
    );
    return { ...spec, endpoint: { ...spec.endpoint, ports } };
  }

  #rotatedFields(spec: ServiceSpec | undefined): FieldChange[] {
    const { secrets = [], configs = [] } = containerOf(spec) ?? {};
    const ids = new Set([
      ...secrets.map(({ secretId }) => secretId),
      ...configs.map(({ configId }) => configId),
    ]);
    return this.#plan.files.flatMap(({ kind, noun, present, wish }) =>
      kind === "rotate-file" && ids.has(present?.id ?? "")
        ? [
            {
              path: `task.container.${noun}s[${wish.name}]`,
              before: "(data)",
              after: "(other data)",
            },
          ]
        : [],
    );
  }
}

function created(spec: ServiceSpec): ObjectChange {
  const fields = fieldChanges(ServiceSpecSchema, undefined, spec);
  return { noun: "service", name: nameOf(spec), change: "created", fields, taskIds: [] };
}

function updated(
  spec: ServiceSpec,
  fields: readonly FieldChange[],
  taskIds: readonly string[],
): ObjectChange {
  return { noun: "service", name: nameOf(spec), change: "updated", fields, taskIds };
}

function withEndpointOf(spec: ServiceSpec, { endpoint }: ServiceSpec): ServiceSpec {
  return { ...spec, ...(endpoint !== undefined && { endpoint }) };
}

function sameTask({ task }: ServiceSpec, before: ServiceSpec): boolean {
  if (task === undefined || before.task === undefined) return task === before.task;
  return equals(TaskSpecSchema, task, before.task);
}

function taskOf({ task }: ServiceSpec): Pick<ServiceSpec, "task"> {
  return task === undefined ? {} : { task };
}

/** Every task of it would be another one. */
function forced(spec: ServiceSpec): ServiceSpec {
  if (spec.task === undefined) return spec;
  return { ...spec, task: { ...spec.task, forceUpdate: spec.task.forceUpdate + 1n } };
}

function reference({ id, meta }: Service) {
  return { ref: id, ...(meta?.version !== undefined && { version: meta.version }) };
}
