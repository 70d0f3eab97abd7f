import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type GetInfoResponse, GetInfoResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { formatOption, type ListingOptions } from "../output/listing.ts";

export function define(command: Command, context: Context): void {
  command.addOption(formatOption()).action(async (options: ListingOptions) => {
    const swarmd = await context.node();
    const info = await swarmd.getInfo({});
    if (options.format === "json") {
      context.print(JSON.stringify(toJson(GetInfoResponseSchema, info), undefined, 2));
    } else {
      for (const [name, value] of describe(info)) context.print(`${name}: ${value}`);
    }
  });
}

function describe(info: GetInfoResponse): [string, string][] {
  const version: [string, string] = ["Version", info.version];
  if (info.nodeId === "") return [["Swarm", "inactive"], version];
  return [
    ["Swarm", info.connected ? "active" : `active, without a manager (${info.error || "unknown"})`],
    ["Node ID", info.nodeId],
    ["Cluster ID", info.clusterId],
    ["Role", info.role === NodeRole.MANAGER ? "manager" : "worker"],
    ["Node address", info.nodeAddress],
    ["Managers", info.managers.join(", ")],
    version,
  ];
}
