import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { version as client } from "#proto/version.ts";
import type { Context } from "./context.ts";
import { formatOption, type ListingOptions } from "./output/listing.ts";

export function define(command: Command, context: Context): void {
  command.addOption(formatOption()).action(async (options: ListingOptions) => {
    const server = await swarmdVersion(context);
    if (options.format === "json") {
      context.print(JSON.stringify({ client, server: server ?? null }, undefined, 2));
    } else {
      context.print(`swarmctl ${client}`);
      context.print(server === undefined ? "swarmd (not reachable)" : `swarmd ${server}`);
    }
  });
}

/** Asking for the version must work where no daemon runs. */
async function swarmdVersion(context: Context): Promise<string | undefined> {
  try {
    const swarmd = await context.node();
    return (await swarmd.getInfo({})).version;
  } catch (thrown) {
    if (thrown instanceof Fault) return undefined;
    throw thrown;
  }
}
