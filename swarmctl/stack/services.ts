import type { Command } from "commander";
import type { Context } from "../context.ts";
import {
  addServiceListingFlags,
  printServices,
  type ServiceListingOptions,
} from "../service/print-services.ts";
import { servicesOfStack } from "./services-of-stack.ts";

export function define(command: Command, context: Context): void {
  command.argument("<stack>", "what the stack is called");
  addServiceListingFlags(command).action(async (stack: string, options: ServiceListingOptions) => {
    printServices(context, options, await servicesOfStack(await context.control(options), stack));
  });
}
