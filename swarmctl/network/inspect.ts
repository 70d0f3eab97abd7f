import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addInspectFlags, inspectEach, type InspectOptions } from "../output/inspect.ts";

interface Options extends InspectOptions {
  readonly verbose?: true;
}

export function define(command: Command, context: Context): void {
  addInspectFlags(command)
    .argument("<network...>", "IDs, prefixes of IDs, or names")
    .option("-v, --verbose", "also its services, and what each host knows of it")
    .action(async (refs: string[], options: Options) => {
      const control = await context.control();
      const get = async (ref: string) => (await control.getNetwork({ ref })).network;
      if (options.verbose) await inspectWithHosts(context, refs, get);
      else await inspectEach(context, { schema: NetworkSchema, ...options }, refs, get);
    });
}

async function inspectWithHosts(
  context: Context,
  refs: readonly string[],
  get: (ref: string) => Promise<Network | undefined>,
): Promise<void> {
  const { hostViews } = await import("./host-views.ts");
  const found: unknown[] = [];
  try {
    await forEachRef(context, refs, async (ref) => {
      const network = await get(ref);
      if (network === undefined) return;
      const json = toJson(NetworkSchema, network) as object;
      found.push({ ...json, ...(await hostViews(context, network.id)) });
    });
  } finally {
    context.print(JSON.stringify(found, undefined, 2));
  }
}
