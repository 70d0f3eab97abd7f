import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addListingFlags, type ListingOptions } from "../output/listing.ts";
import { printServices } from "../service/print-services.ts";
import { servicesOfStack } from "./services-of-stack.ts";

export function define(command: Command, context: Context): void {
  command.argument("<stack>", "what the stack is called");
  addListingFlags(command).action(async (stack: string, options: ListingOptions) => {
    printServices(context, options, await servicesOfStack(await context.control(options), stack));
  });
}
