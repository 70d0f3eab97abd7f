/**
 * What the things in an assignment set are made of, each from stored objects. Pure. The index and the tests share these,
 * so that "incremental" and "from scratch" mean the same.
 */
import { create } from "@bufbuild/protobuf";
import {
  type Assignment,
  AssignmentSchema,
  LogSubscriptionSchema,
  type NetworkEndpoint,
  NetworkEndpointSchema,
  type Peer,
  PeerSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  type Config,
  ConfigSchema,
  type Node,
  type Secret,
  SecretSchema,
  type Task,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  Health,
  AnnotationsSchema,
  type NetworkAttachment,
  NetworkSchema,
  NodeState,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { addressPart } from "#proto/cidr.ts";
import { isAssigned, isTerminal, isWanted, stateOf } from "../task.ts";

/** An item of the set by kind and ID. */
export type ItemKey =
  `${"task" | "network" | "service" | "endpoint" | "peer" | "log" | "secret" | "config"}:${string}`;

/** A task is on its networks until its end is known. Its agent has it until it is deleted, for the sake of its log. */
export function isOnNetworks(task: Task): boolean {
  return isAssigned(task) && !isTerminal(task);
}

/** The secrets and configs that a task's containers read, until its end is known. */
export function fileKeysOf(task: Task): ReadonlySet<FileKey> {
  const runtime = task.spec?.runtime;
  if (runtime?.case !== "container" || !isAssigned(task) || isTerminal(task)) return new Set();
  return new Set<FileKey>([
    ...runtime.value.secrets.map(({ secretId }) => `secret:${secretId}` as const),
    ...runtime.value.configs.map(({ configId }) => `config:${configId}` as const),
  ]);
}

export type FileKey = Extract<ItemKey, `secret:${string}` | `config:${string}`>;

/** Without what can change: a node never needs to be told of it twice. */
export function secretItem({ id, spec, rotatedFrom }: Secret): Secret {
  const name = rotatedFrom || (spec?.annotations?.name ?? "");
  const annotations = create(AnnotationsSchema, { name });
  return create(SecretSchema, { id, ...(spec && { spec: { ...spec, annotations } }) });
}

/** Likewise. */
export function configItem({ id, spec, rotatedFrom }: Config): Config {
  const name = rotatedFrom || (spec?.annotations?.name ?? "");
  const annotations = create(AnnotationsSchema, { name });
  return create(ConfigSchema, { id, ...(spec && { spec: { ...spec, annotations } }) });
}

/** A task's place on a network, as all nodes on that network must know it; undefined when there is nothing to reach. */
export function endpointOf(
  task: Task,
  attachment: NetworkAttachment,
  node: Node | undefined,
): NetworkEndpoint | undefined {
  const networkId = attachment.network?.id;
  const { ipv4, ipv6 = "" } = addressesOf(attachment.addresses);
  if (networkId === undefined || ipv4 === undefined || !isOnNetworks(task)) return undefined;
  if (node === undefined || node.status?.state === NodeState.DOWN) return undefined;
  return create(NetworkEndpointSchema, {
    id: `${task.id}/${networkId}`,
    taskId: task.id,
    networkId,
    nodeId: task.nodeId,
    address: ipv4,
    address6: ipv6,
    serviceId: task.serviceId,
    serviceName: task.serviceAnnotations?.name ?? "",
    taskName: task.annotations?.name ?? "",
    aliases: attachment.aliases,
    slot: task.slot,
    serving: isServing(task) && node.status?.state === NodeState.READY,
  });
}

/** Of addresses with prefix lengths, the first of each family, without. */
export function addressesOf(cidrs: readonly string[]): {
  readonly ipv4?: string;
  readonly ipv6?: string;
} {
  const addresses = cidrs.map(addressPart);
  const ipv4 = addresses.find((address) => !address.includes(":"));
  const ipv6 = addresses.find((address) => address.includes(":"));
  return { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) };
}

/** Neither about to stop nor found unhealthy, which comes before it is stopped for that. */
function isServing(task: Task): boolean {
  const unhealthy = task.status?.container?.health === Health.UNHEALTHY;
  return stateOf(task) === TaskState.RUNNING && isWanted(task) && !unhealthy;
}

/** Undefined while the node has not said where it can be reached, as one that joined and never held a session. */
export function peerOf(node: Node): Peer | undefined {
  if ((node.status?.state ?? NodeState.UNKNOWN) === NodeState.UNKNOWN) return undefined;
  const dataPathAddress = node.description?.dataPathAddress || node.status?.address;
  if (!dataPathAddress) return undefined;
  return create(PeerSchema, {
    nodeId: node.id,
    number: node.number,
    dataPathAddress,
    addresses: node.description?.addresses ?? [],
    encryptionKey: node.description?.encryptionKey ?? "",
  });
}

/** What an agent needs to drop an item: its ID. */
export function removalOf(key: ItemKey): Assignment {
  const cut = key.indexOf(":");
  const id = key.slice(cut + 1);
  switch (key.slice(0, cut)) {
    case "task":
      return assignment({ case: "task", value: create(TaskSchema, { id }) });
    case "network":
      return assignment({ case: "network", value: create(NetworkSchema, { id }) });
    case "service":
      return assignment({ case: "service", value: create(ServiceEndpointSchema, { id }) });
    case "endpoint":
      return assignment({ case: "endpoint", value: create(NetworkEndpointSchema, { id }) });
    case "peer":
      return assignment({ case: "peer", value: create(PeerSchema, { nodeId: id }) });
    case "secret":
      return assignment({ case: "secret", value: create(SecretSchema, { id }) });
    case "config":
      return assignment({ case: "config", value: create(ConfigSchema, { id }) });
    default:
      return assignment({ case: "logSubscription", value: create(LogSubscriptionSchema, { id }) });
  }
}

export function assignment(item: Assignment["item"]): Assignment {
  const made = create(AssignmentSchema);
  made.item = item;
  return made;
}
