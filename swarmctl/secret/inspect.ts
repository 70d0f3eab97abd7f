import type { Command } from "commander";
import { SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<secret...>", "IDs, prefixes of IDs, or names");
  addInspectFlags(command).action(async (refs: string[], options: InspectOptions) => {
    const control = await context.control();
    const get = async (ref: string) => (await control.getSecret({ ref })).secret;
    await inspectEach(context, { schema: SecretSchema, ...options }, refs, get);
  });
}
