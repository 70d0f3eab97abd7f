import type { Command } from "commander";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { inspectEach } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<network...>", "IDs, prefixes of IDs, or names");
  command.action(async (refs: string[]) => {
    const control = await context.control();
    const get = async (ref: string) => (await control.getNetwork({ ref })).network;
    await inspectEach(context, NetworkSchema, refs, get);
  });
}
