import type { Command } from "commander";
import { SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { inspectEach } from "../output/inspect.ts";

export function define(command: Command, context: Context): void {
  command.argument("<secret...>", "IDs, prefixes of IDs, or names");
  command.action(async (refs: string[]) => {
    const control = await context.control();
    const get = async (ref: string) => (await control.getSecret({ ref })).secret;
    await inspectEach(context, SecretSchema, refs, get);
  });
}
