import type { Command } from "commander";
import { ConfigSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<config...>", "IDs, prefixes of IDs, or names");
  addInspectFlags(command).action(async (refs: string[], options: InspectOptions) => {
    const control = await context.control();
    const get = async (ref: string) => (await control.getConfig({ ref })).config;
    await inspectEach(context, { schema: ConfigSchema, ...options }, refs, get);
  });
}
