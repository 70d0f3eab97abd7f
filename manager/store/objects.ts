/** The nouns that the store holds, and what it must know of each: its schema, its unique name, its indexes. */
import type { DescMessage } from "@bufbuild/protobuf";
import {
  type Cluster,
  ClusterSchema,
  type Config,
  ConfigSchema,
  type Node,
  NodeSchema,
  type Secret,
  SecretSchema,
  type Service,
  ServiceSchema,
  type Task,
  TaskSchema,
  type Volume,
  VolumeSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";

export interface Objects {
  readonly cluster: Cluster;
  readonly node: Node;
  readonly service: Service;
  readonly task: Task;
  readonly network: Network;
  readonly secret: Secret;
  readonly config: Config;
  readonly volume: Volume;
}

export type Kind = keyof Objects;

/** A wish to change one object. Update and remove hold only while the stored version is that of `object.meta.version`. */
export type Action = {
  [K in Kind]: {
    readonly action: "create" | "update" | "remove";
    readonly kind: K;
    readonly object: Objects[K];
  };
}[Kind];

/** One object before and after a commit. */
export type Change = {
  [K in Kind]: {
    readonly kind: K;
    readonly before: Objects[K] | undefined;
    readonly after: Objects[K] | undefined;
  };
}[Kind];

export interface Noun<K extends Kind> {
  readonly schema: DescMessage;
  /** The name that no two objects of the noun may share; undefined where names need not be unique. */
  readonly uniqueName: (object: Objects[K]) => string | undefined;
  readonly indexes: Readonly<Record<string, (object: Objects[K]) => string>>;
}

export const nouns: { readonly [K in Kind]: Noun<K> } = {
  cluster: { schema: ClusterSchema, uniqueName: (c) => c.spec?.annotations?.name, indexes: {} },
  node: { schema: NodeSchema, uniqueName: (n) => `number ${n.number}`, indexes: {} },
  service: { schema: ServiceSchema, uniqueName: (s) => s.spec?.annotations?.name, indexes: {} },
  task: {
    schema: TaskSchema,
    uniqueName: () => undefined,
    indexes: { service: (t) => t.serviceId, node: (t) => t.nodeId },
  },
  network: { schema: NetworkSchema, uniqueName: (n) => n.spec?.annotations?.name, indexes: {} },
  secret: { schema: SecretSchema, uniqueName: (s) => s.spec?.annotations?.name, indexes: {} },
  config: { schema: ConfigSchema, uniqueName: (c) => c.spec?.annotations?.name, indexes: {} },
  volume: { schema: VolumeSchema, uniqueName: (v) => v.spec?.annotations?.name, indexes: {} },
};

export const kinds = Object.keys(nouns) as readonly Kind[];
