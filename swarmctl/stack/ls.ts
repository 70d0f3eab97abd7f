import type { Command } from "commander";
import { namespaceLabel, stackOf } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { addListingFlags, type ListingOptions, printListing } from "../output/listing.ts";
import { compareText } from "../output/table.ts";

interface StackSummary {
  readonly name: string;
  readonly services: number;
}

export function define(command: Command, context: Context): void {
  addListingFlags(command, "print only names, one per line").action(
    async (options: ListingOptions) => {
      const control = await context.control(options);
      const { services } = await control.listServices({ labels: { [namespaceLabel]: "" } });
      const stacks = Map.groupBy(services, (service) => stackOf(service.spec?.annotations?.labels));
      const summaries = Array.from(stacks, ([name = "", members]) => ({
        name,
        services: members.length,
      }));
      printListing<StackSummary>(context, options, {
        items: summaries.toSorted((a, b) => compareText(a.name, b.name)),
        id: (stack) => stack.name,
        columns: [
          { title: "NAME", of: (stack) => stack.name },
          { title: "SERVICES", of: (stack) => String(stack.services) },
        ],
      });
    },
  );
}
