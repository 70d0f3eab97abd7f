/**
 * A control API over maps in memory: what is created is listed, updated by version, and removed, as a manager does it. No
 * task ever runs by itself; tests say which tasks there are.
 */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Config,
  ConfigSchema,
  type Secret,
  SecretSchema,
  type Service,
  type Task,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { aNode, aService, aServiceSpec, idOf } from "./objects.ts";

type Labels = Readonly<Record<string, string>>;

export class FakeControl {
  readonly services = new Map<string, Service>();
  readonly networks = new Map<string, Network>();
  readonly tasks = new Map<string, Task>();
  readonly secrets = new Map<string, Secret>();
  readonly configs = new Map<string, Config>();
  /** How many of the next updates fail because somebody else was faster. */
  conflicts = 0;
  /** Of each creation and update of a service: whether the image's tag was to be resolved. */
  readonly queries: boolean[] = [];
  /** What creations and updates of services warn of. */
  warnings: string[] = [];

  readonly handlers: Partial<Handlers<typeof ControlService>> = {
    listNodes: async () => ({ nodes: [aNode("h1", true), aNode("h2")] }),
    listServices: async ({ labels }) => {
      const services = [...this.services.values()].filter((service) =>
        hasLabels(service.spec?.annotations?.labels, labels),
      );
      const statuses = services.map((service) => ({
        serviceId: service.id,
        runningTasks: 0n,
        desiredTasks:
          service.spec?.mode.case === "replicated" ? service.spec.mode.value.replicas : 0n,
      }));
      return { services, statuses };
    },
    getService: async ({ ref }) => ({ service: this.#find(this.services, "service", ref) }),
    createService: async ({ spec = aServiceSpec(""), queryRegistry }) => {
      this.queries.push(queryRegistry);
      const service = aService(spec);
      if (this.services.has(service.id)) {
        throw new Fault("already-exists", `Service "${spec.annotations?.name}" exists already`);
      }
      this.services.set(service.id, service);
      return { service, warnings: this.warnings };
    },
    updateService: async ({ ref, version, spec = aServiceSpec(""), queryRegistry, dryRun }) => {
      this.queries.push(queryRegistry);
      const present = this.#find(this.services, "service", ref);
      const stale = version?.index !== present.meta?.version?.index;
      if (stale || this.conflicts > 0) {
        this.conflicts -= 1;
        throw new Fault("conflict", "update out of sequence");
      }
      if (present.spec !== undefined && equals(ServiceSpecSchema, spec, present.spec)) {
        return { service: present };
      }
      const service = aService(spec, (version?.index ?? 0n) + 1n);
      if (dryRun) {
        const replaced = [...this.tasks.values()].filter((task) => task.serviceId === service.id);
        return { service, replacedTaskIds: replaced.map(({ id }) => id) };
      }
      this.services.set(service.id, service);
      return { service, warnings: this.warnings };
    },
    removeService: async ({ ref }) => {
      const { id } = this.#find(this.services, "service", ref);
      this.services.delete(id);
      return { serviceId: id };
    },
    listTasks: async ({ serviceRef }) => ({
      tasks: [...this.tasks.values()].filter((task) =>
        [task.serviceId, task.serviceAnnotations?.name, undefined].includes(
          serviceRef || undefined,
        ),
      ),
    }),
    getTask: async ({ ref }) => ({ task: this.#find(this.tasks, "task", ref) }),
    listNetworks: async ({ labels }) => ({
      networks: [...this.networks.values()].filter((network) =>
        hasLabels(network.spec?.annotations?.labels, labels),
      ),
    }),
    getNetwork: async ({ ref }) => ({ network: this.#find(this.networks, "network", ref) }),
    createNetwork: async ({ spec }) => {
      const id = idOf(spec?.annotations?.name ?? "");
      const network = create(NetworkSchema, { id, ...(spec !== undefined && { spec }) });
      this.networks.set(id, network);
      return { network };
    },
    listSecrets: async ({ labels }) => ({
      secrets: [...this.secrets.values()].filter(({ spec }) =>
        hasLabels(spec?.annotations?.labels, labels),
      ),
    }),
    createSecret: async ({ spec }) => {
      const id = idOf(spec?.annotations?.name ?? "");
      const secret = create(SecretSchema, { id, ...(spec !== undefined && { spec }) });
      this.secrets.set(id, secret);
      return { secret };
    },
    updateSecret: async ({ ref, spec }) => {
      const secret = this.#find(this.secrets, "secret", ref);
      if (spec?.data.length && !Buffer.from(spec.data).equals(secret.spec?.data ?? spec.data)) {
        throw new Fault("invalid-argument", "Cannot change: only its labels can change");
      }
      return { secret };
    },
    rotateSecret: async ({ ref, data }) => {
      const secret = this.#find(this.secrets, "secret", ref);
      if (secret.spec !== undefined) secret.spec.data = data;
      return { secret, serviceIds: [] };
    },
    removeSecret: async ({ ref }) => {
      const { id } = this.#find(this.secrets, "secret", ref);
      this.secrets.delete(id);
      return { secretId: id };
    },
    listConfigs: async ({ labels }) => ({
      configs: [...this.configs.values()].filter(({ spec }) =>
        hasLabels(spec?.annotations?.labels, labels),
      ),
    }),
    createConfig: async ({ spec }) => {
      const id = idOf(spec?.annotations?.name ?? "");
      const config = create(ConfigSchema, { id, ...(spec !== undefined && { spec }) });
      this.configs.set(id, config);
      return { config };
    },
    getConfig: async ({ ref }) => ({ config: this.#find(this.configs, "config", ref) }),
    updateConfig: async ({ ref }) => ({ config: this.#find(this.configs, "config", ref) }),
    rotateConfig: async ({ ref, data }) => {
      const config = this.#find(this.configs, "config", ref);
      if (config.spec !== undefined) config.spec.data = data;
      return { config, serviceIds: [] };
    },
    removeConfig: async ({ ref }) => {
      const { id } = this.#find(this.configs, "config", ref);
      this.configs.delete(id);
      return { configId: id };
    },
    removeNetwork: async ({ ref }) => {
      const { id } = this.#find(this.networks, "network", ref);
      this.networks.delete(id);
      return { networkId: id };
    },
  };

  #find<T>(objects: ReadonlyMap<string, T>, noun: string, ref: string): T {
    const object = objects.get(ref) ?? objects.get(idOf(ref));
    if (object === undefined) throw new Fault("not-found", `No ${noun} "${ref}"`);
    return object;
  }
}

function hasLabels(labels: Labels | undefined, wanted: Labels): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => labels?.[key] !== undefined && (value === "" || labels[key] === value),
  );
}
