import type { Command } from "commander";
import type { Context } from "../context.ts";
import { filterValues } from "../output/filter.ts";
import {
  addServiceListingFlags,
  printServices,
  type ServiceListingOptions,
} from "./print-services.ts";

export function define(command: Command, context: Context): void {
  addServiceListingFlags(command).action(async (options: ServiceListingOptions) => {
    const control = await context.control(options);
    const request = {
      idPrefixes: filterValues(options, "id"),
      namePrefixes: filterValues(options, "name"),
    };
    printServices(context, options, await control.listServices(request));
  });
}
