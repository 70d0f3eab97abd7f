import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addListingFlags, type ListingOptions } from "../output/listing.ts";
import { printServices } from "./print-services.ts";

export function define(command: Command, context: Context): void {
  addListingFlags(command).action(async (options: ListingOptions) => {
    const control = await context.control(options);
    printServices(context, options, await control.listServices({}));
  });
}
