import type { Command } from "commander";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";
import { resolveSelf } from "./self.ts";

export function define(command: Command, context: Context): void {
  command.argument("<node...>", 'IDs, prefixes of IDs, or hostnames; "self" is this host');
  addInspectFlags(command).action(async (refs: string[], options: InspectOptions) => {
    const control = await context.control();
    await inspectEach(context, { schema: NodeSchema, ...options }, refs, async (ref) => {
      const { node } = await control.getNode({ ref: await resolveSelf(context, ref) });
      return node;
    });
  });
}
