/**
 * What a deployment of a stack would do to a cluster, all of it, and what cannot be done is refused before anything is.
 * Pure: it compares and touches nothing. Everything that is not the stack's own is left alone. Applied, it plans nothing.
 */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type FileObject, fileName, type FileWish } from "./file-api.ts";
import { type FileStep, planFiles } from "./plan-files.ts";
import { type NetworkStep, planNetworks } from "./plan-networks.ts";
import { type ClusterObjects, leftovers } from "./plan-prune.ts";
import {
  changeContainer,
  planServices,
  type ResolveMode,
  type ServiceStep,
} from "./plan-services.ts";
import type { Stack } from "./stack.ts";

/** The stack with what its secrets and configs hold. */
export interface StackWish {
  readonly stack: Stack;
  readonly secrets: readonly FileWish[];
  readonly configs: readonly FileWish[];
}

export interface DeploySettings {
  readonly resolveImage: ResolveMode;
  readonly prune: boolean;
}

/** In the order in which it is done. */
export interface DeployPlan {
  readonly goneServices: readonly Service[];
  readonly networks: readonly NetworkStep[];
  readonly files: readonly FileStep[];
  readonly services: readonly ServiceStep[];
  /** To be removed when the services have done without it. */
  readonly leftovers: Pick<ClusterObjects, "networks" | "secrets" | "configs">;
}

export interface DeployWorld {
  readonly cluster: ClusterObjects;
  /** IDs of secrets and configs that hold something else than the stack wants. */
  readonly changed: ReadonlySet<string>;
}

export function planDeploy(
  { stack, secrets, configs }: StackWish,
  { cluster, changed }: DeployWorld,
  { resolveImage, prune }: DeploySettings,
): DeployPlan {
  const { name } = stack;
  const gone = prune
    ? leftovers(stack, cluster)
    : { services: [], networks: [], secrets: [], configs: [] };
  const staying = cluster.services.filter((service) => !gone.services.includes(service));
  return {
    goneServices: gone.services,
    networks: planNetworks(stack, { networks: cluster.networks, services: staying }),
    files: [
      ...planFiles(
        { noun: "secret", stack: name, wishes: secrets, external: stack.externalSecrets },
        cluster.secrets,
        changed,
      ),
      ...planFiles(
        { noun: "config", stack: name, wishes: configs, external: stack.externalConfigs },
        cluster.configs,
        changed,
      ),
    ],
    services: planServices(withFileIds(stack, cluster), cluster.services, resolveImage),
    leftovers: gone,
  };
}

/** The stack, its services' references completed as managers complete them, so that an unchanged service looks the same. */
function withFileIds(stack: Stack, { secrets, configs }: ClusterObjects): Stack {
  const [secretIds, configIds] = [idsOf(secrets), idsOf(configs)];
  const services = stack.services.map((spec) =>
    changeContainer(spec, (container) => ({
      ...container,
      secrets: container.secrets.map((one) => ({
        ...one,
        secretId: secretIds.get(one.secretName) ?? "",
      })),
      configs: container.configs.map((one) => ({
        ...one,
        configId: configIds.get(one.configName) ?? "",
      })),
    })),
  );
  return { ...stack, services };
}

function idsOf(objects: readonly FileObject[]): ReadonlyMap<string, string> {
  return new Map(objects.map((object) => [fileName(object), object.id]));
}
