import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";
import type { Context } from "../context.ts";
import { isTrue } from "../flags/is-true.ts";
import {
  addFilterFlag,
  filtered,
  type FilterFlag,
  type Filters,
  filterValues,
  hasLabel,
} from "../output/filter.ts";
import { formatMoment } from "../output/age.ts";
import {
  addListingFlags,
  labelFields,
  type ListingOptions,
  printListing,
  shortId,
} from "../output/listing.ts";
import { compareText } from "../output/table.ts";

interface Options extends ListingOptions, FilterFlag {
  /** Commander's form of --no-trunc. */
  readonly trunc: boolean;
}

const keys = ["dangling", "driver", "id", "label", "name", "scope", "type"];

export function define(command: Command, context: Context): void {
  addFilterFlag(addListingFlags(command), keys)
    .option("--no-trunc", "show IDs in full")
    .action(async (options: Options) => {
      const control = await context.control(options);
      const { networks } = await control.listNetworks({});
      const needsServices = filterValues(options, "dangling").length > 0;
      const { services } = needsServices ? await control.listServices({}) : { services: [] };
      const idOf = ({ id }: Network) => (options.trunc ? shortId(id) : id);
      printListing(context, options, {
        items: filtered(networks, options, filtersFor(services)).toSorted((a, b) =>
          compareText(nameOf(a), nameOf(b)),
        ),
        id: idOf,
        columns: [
          { title: "NETWORK ID", field: "ID", of: idOf },
          { title: "NAME", of: nameOf },
          { title: "DRIVER", of: driverOf },
          { title: "SCOPE", of: scopeOf },
          { title: "SUBNET", of: subnets },
        ],
        fields: {
          // Words, as Docker has them.
          Internal: ({ spec }) => String(spec?.internal ?? false),
          IPv4: () => "true",
          IPv6: ({ spec }) => String(spec?.ipv6Enabled ?? false),
          CreatedAt: ({ meta }) => formatMoment(meta?.createdAt),
          ...labelFields<Network>(({ spec }) => spec?.annotations?.labels),
        },
      });
    });
}

function filtersFor(services: readonly Service[]): Filters<Network> {
  const used = new Set(
    services.flatMap(({ spec }) => spec?.task?.networks.map(({ target }) => target) ?? []),
  );
  return {
    dangling: (network, value) => {
      const dangles = isOwn(network) && !used.has(network.id) && !used.has(nameOf(network));
      return dangles === isTrue(value);
    },
    driver: (network, value) => driverOf(network) === value,
    id: ({ id }, value) => id.startsWith(value),
    label: ({ spec }, value) => hasLabel(spec?.annotations?.labels, value),
    name: (network, value) => nameOf(network).includes(value),
    scope: (network, value) => scopeOf(network) === value,
    type: (network, value) => isOwn(network) === (typeOf(value) === "custom"),
  };
}

function typeOf(value: string): "custom" | "builtin" {
  if (value === "custom" || value === "builtin") return value;
  throw new Fault("invalid-argument", "Write type=custom or type=builtin");
}

/** Of users' own making: neither of each host's nor what published ports lead through. */
function isOwn(network: Network): boolean {
  return isOverlay(network) && !network.spec?.ingress;
}

function nameOf(network: Network): string {
  return network.spec?.annotations?.name ?? network.id;
}

function driverOf(network: Network): string {
  return network.spec?.driverConfig?.name || "overlay";
}

function scopeOf(network: Network): string {
  return isOverlay(network) ? "swarm" : "local";
}

function subnets(network: Network): string {
  return (network.ipam?.configs ?? []).map((config) => config.subnet).join(", ");
}
