/** What a manager knows of the whole cluster, as files for a support bundle: JSON without secrets. */
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import {
  ClusterSchema,
  ConfigSchema,
  NodeSchema,
  SecretSchema,
  ServiceSchema,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ControlClient } from "../context.ts";
import { redactState } from "./redact-state.ts";

export interface StateFile {
  readonly name: string;
  readonly read: () => Promise<string>;
}

export function clusterState(control: ControlClient): readonly StateFile[] {
  return [
    file("cluster.json", async () => {
      const { cluster } = await control.getCluster({});
      return cluster === undefined ? null : toJson(ClusterSchema, cluster);
    }),
    file("nodes.json", async () => list(NodeSchema, (await control.listNodes({})).nodes)),
    file("services.json", async () =>
      list(ServiceSchema, (await control.listServices({})).services),
    ),
    file("tasks.json", async () => list(TaskSchema, (await control.listTasks({})).tasks)),
    file("networks.json", async () =>
      list(NetworkSchema, (await control.listNetworks({})).networks),
    ),
    file("secrets.json", async () => list(SecretSchema, (await control.listSecrets({})).secrets)),
    file("configs.json", async () => list(ConfigSchema, (await control.listConfigs({})).configs)),
  ];
}

function file(name: string, read: () => Promise<JsonValue>): StateFile {
  return {
    name,
    read: async () => `${JSON.stringify(redactState(await read()), undefined, 2)}\n`,
  };
}

function list<D extends DescMessage>(schema: D, messages: readonly MessageShape<D>[]): JsonValue {
  return messages.map((message) => toJson(schema, message));
}
