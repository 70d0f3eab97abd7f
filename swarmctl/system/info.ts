import type { Command } from "commander";
import { toJson } from "@bufbuild/protobuf";
import { GetInfoResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { describeHost } from "../cluster/info.ts";
import type { Context } from "../context.ts";
import { addInspectFlags, type InspectOptions } from "../output/inspect.ts";
import { messageField, messageValue } from "../output/message-value.ts";

/** What Docker's `info` tells of a swarm: what this host is in its cluster. */
export function define(command: Command, context: Context): void {
  addInspectFlags(command).action(async ({ format }: InspectOptions) => {
    const info = await (await context.node()).getInfo({});
    if (typeof format === "object") {
      context.print(format.template.run(messageValue(GetInfoResponseSchema, info), messageField));
    } else if (format === "json") {
      context.print(JSON.stringify(toJson(GetInfoResponseSchema, info)));
    } else {
      await describeHost(context, info);
    }
  });
}
