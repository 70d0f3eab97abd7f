import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";
import type { Context } from "../context.ts";
import { addListingFlags, type ListingOptions, printListing, shortId } from "../output/listing.ts";
import { compareText } from "../output/table.ts";

export function define(command: Command, context: Context): void {
  addListingFlags(command).action(async (options: ListingOptions) => {
    const control = await context.control(options);
    const { networks } = await control.listNetworks({});
    printListing(context, options, {
      items: networks.toSorted((a, b) => compareText(nameOf(a), nameOf(b))),
      id: (network) => network.id,
      json: (network) => toJson(NetworkSchema, network),
      columns: [
        { title: "NETWORK ID", of: (network) => shortId(network.id) },
        { title: "NAME", of: nameOf },
        { title: "DRIVER", of: (network) => network.spec?.driverConfig?.name || "overlay" },
        { title: "SCOPE", of: (network) => (isOverlay(network) ? "swarm" : "local") },
        { title: "SUBNET", of: subnets },
      ],
    });
  });
}

function nameOf(network: Network): string {
  return network.spec?.annotations?.name ?? network.id;
}

function subnets(network: Network): string {
  return (network.ipam?.configs ?? []).map((config) => config.subnet).join(", ");
}
