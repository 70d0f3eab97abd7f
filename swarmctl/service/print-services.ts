/** The table of services, of the whole cluster or of one stack. */
import type { Command } from "commander";
import type { ListServicesResponse, ServiceStatus } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import {
  addFilterFlag,
  checkFilterWords,
  filtered,
  type FilterFlag,
  type Filters,
  hasLabel,
} from "../output/filter.ts";
import {
  addListingFlags,
  type Column,
  labelFields,
  type ListingOptions,
  printListing,
  shortId,
} from "../output/listing.ts";
import { compareText } from "../output/table.ts";
import { autoscaleWord, scheduleWord } from "./scale-words.ts";
import { imageOf, modeWord, replicasWord, serviceName, servicePortsWord } from "./words.ts";

export interface ServiceListingOptions extends ListingOptions, FilterFlag {}

const modes = ["replicated", "global", "replicated-job", "global-job"];

const filters: Filters<Service> = {
  id: ({ id }, value) => id.startsWith(value),
  name: (service, value) => serviceName(service).startsWith(value),
  mode: ({ spec }, value) => modeWord(spec).replace(" ", "-") === value.toLowerCase(),
  label: ({ spec }, value) => hasLabel(spec?.annotations?.labels, value),
};

export function addServiceListingFlags(command: Command): Command {
  return addFilterFlag(addListingFlags(command), Object.keys(filters));
}

export function printServices(
  context: Context,
  options: ServiceListingOptions,
  reply: ListServicesResponse,
): void {
  const statuses = new Map(reply.statuses.map((status) => [status.serviceId, status]));
  checkFilterWords(options, "mode", modes);
  const items = filtered(reply.services, options, filters).toSorted((a, b) =>
    compareText(serviceName(a), serviceName(b)),
  );
  printListing(context, options, {
    items,
    id: (service) => service.id,
    columns: columns(items, statuses, context.io.clock.now()),
    fields: {
      ...labelFields<Service>(({ spec }) => spec?.annotations?.labels),
      Schedule: (service) => scheduleWord(service, context.io.clock.now()),
      Autoscale: autoscaleWord,
    },
  });
}

/** Docker's, and where a service has one, when it runs and by what it is scaled. */
function columns(
  items: readonly Service[],
  statuses: ReadonlyMap<string, ServiceStatus>,
  nowMs: number,
): Column<Service>[] {
  const isScheduled = items.some(({ spec }) => spec?.schedule !== undefined);
  const isScaled = items.some(({ spec }) => spec?.autoscale !== undefined);
  return [
    { title: "ID", of: (service) => shortId(service.id) },
    { title: "NAME", of: serviceName },
    { title: "MODE", of: (service) => modeWord(service.spec) },
    {
      title: "REPLICAS",
      of: (service) => replicasWord(service.spec, statuses.get(service.id)),
    },
    { title: "IMAGE", of: (service) => imageOf(service.spec) },
    { title: "PORTS", of: servicePortsWord },
    ...(isScheduled
      ? [{ title: "SCHEDULE", of: (service: Service) => scheduleWord(service, nowMs) }]
      : []),
    ...(isScaled ? [{ title: "AUTOSCALE", of: autoscaleWord }] : []),
  ];
}
