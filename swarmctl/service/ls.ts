import type { Command } from "commander";
import type { Context } from "../context.ts";
import {
  addServiceListingFlags,
  printServices,
  type ServiceListingOptions,
} from "./print-services.ts";

export function define(command: Command, context: Context): void {
  addServiceListingFlags(command).action(async (options: ServiceListingOptions) => {
    const control = await context.control(options);
    printServices(context, options, await control.listServices({}));
  });
}
