import type { Command } from "commander";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { inspectEach } from "../output/inspect.ts";
import { resolveSelf } from "./self.ts";

export function define(command: Command, context: Context): void {
  command.argument("<node...>", 'IDs, prefixes of IDs, or hostnames; "self" is this host');
  command.action(async (refs: string[]) => {
    const control = await context.control();
    await inspectEach(context, NodeSchema, refs, async (ref) => {
      const { node } = await control.getNode({ ref: await resolveSelf(context, ref) });
      return node;
    });
  });
}
