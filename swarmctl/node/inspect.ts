import type { Command } from "commander";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";
import { prettyNode } from "./pretty.ts";
import { resolveSelf, selfRef } from "./self.ts";

interface Options extends InspectOptions {
  readonly pretty?: true;
}

export function define(command: Command, context: Context): void {
  addInspectFlags(command)
    .argument("[node...]", 'IDs, prefixes of IDs, or hostnames; "self", the default, is this host')
    .option("--pretty", "for people, the main things only")
    .action(async (given: string[], options: Options) => {
      const refs = given.length === 0 ? [selfRef] : given;
      const control = await context.control();
      const get = async (ref: string) =>
        (await control.getNode({ ref: await resolveSelf(context, ref) })).node;
      if (!options.pretty) {
        await inspectEach(context, { schema: NodeSchema, ...options }, refs, get);
        return;
      }
      let isFirst = true;
      await forEachRef(context, refs, async (ref) => {
        const node = await get(ref);
        if (node === undefined) return;
        context.print(`${isFirst ? "" : "\n"}${prettyNode(node)}`);
        isFirst = false;
      });
    });
}
