/** The table of services, of the whole cluster or of one stack. */
import { toJson } from "@bufbuild/protobuf";
import { type ListServicesResponse, ServiceStatusSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { type ListingOptions, printListing, shortId } from "../output/listing.ts";
import { compareText } from "../output/table.ts";
import { imageOf, modeWord, replicasWord, serviceName, servicePortsWord } from "./words.ts";

export function printServices(
  context: Context,
  options: ListingOptions,
  reply: ListServicesResponse,
): void {
  const statuses = new Map(reply.statuses.map((status) => [status.serviceId, status]));
  printListing(context, options, {
    items: reply.services.toSorted((a, b) => compareText(serviceName(a), serviceName(b))),
    id: (service) => service.id,
    json: (service) => {
      const status = statuses.get(service.id);
      return {
        ...Object(toJson(ServiceSchema, service)),
        ...(status !== undefined && { status: toJson(ServiceStatusSchema, status) }),
      };
    },
    columns: [
      { title: "ID", of: (service) => shortId(service.id) },
      { title: "NAME", of: serviceName },
      { title: "MODE", of: (service) => modeWord(service.spec) },
      {
        title: "REPLICAS",
        of: (service) => replicasWord(service.spec, statuses.get(service.id)),
      },
      { title: "IMAGE", of: (service) => imageOf(service.spec) },
      { title: "PORTS", of: servicePortsWord },
    ],
  });
}
