import type { Command } from "commander";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";
import { prettyService } from "./pretty.ts";

interface Options extends InspectOptions {
  readonly pretty?: true;
}

export function define(command: Command, context: Context): void {
  addInspectFlags(command)
    .argument("<service...>", "IDs, prefixes of IDs, or names")
    .option("--pretty", "for people, the main things only")
    .action(async (refs: string[], options: Options) => {
      const control = await context.control();
      const get = async (ref: string) => (await control.getService({ ref })).service;
      if (!options.pretty) {
        await inspectEach(context, { schema: ServiceSchema, ...options }, refs, get);
        return;
      }
      const { networks } = await control.listNetworks({});
      const nowMs = context.io.clock.now();
      let isFirst = true;
      await forEachRef(context, refs, async (ref) => {
        const service = await get(ref);
        if (service === undefined) return;
        context.print(`${isFirst ? "" : "\n"}${prettyService(service, { networks, nowMs })}`);
        isFirst = false;
      });
    });
}
