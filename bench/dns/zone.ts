/** The names that both nameservers know: services with a virtual address each, and their tasks. Pure. */
import { create } from "@bufbuild/protobuf";
import type { ZoneState } from "#agent/dns/zone.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";

export interface Names {
  readonly services: number;
  readonly tasksPerService: number;
}

const networkId = "bench";

export function zoneOf({ services, tasksPerService }: Names, gateway: string): ZoneState {
  const ipam = { configs: [{ subnet: "10.0.0.0/8", gateway }] };
  const spec = { annotations: { name: networkId } };
  return {
    networks: [create(NetworkSchema, { id: networkId, spec, ipam })],
    services: Array.from({ length: services }, (_, index) =>
      create(ServiceEndpointSchema, {
        id: `s${index}`,
        name: `s${index}`,
        networks: [{ networkId, virtualIp: virtualIp(index) }],
      }),
    ),
    endpoints: Array.from({ length: services * tasksPerService }, (_, index) =>
      endpoint(index, services),
    ),
  };
}

/** A new object each time, as a change brings one. */
export function endpoint(index: number, services: number): NetworkEndpoint {
  const service = `s${index % services}`;
  return create(NetworkEndpointSchema, {
    id: `t${index}/${networkId}`,
    taskId: `t${index}`,
    taskName: `${service}.${index}.t`,
    networkId,
    serviceId: service,
    serviceName: service,
    address: taskAddress(index),
    serving: true,
  });
}

/** As lines of /etc/hosts. */
export function hostsOf({ services, tasksPerService }: Names): string {
  const virtual = Array.from({ length: services }, (_, index) => `${virtualIp(index)} s${index}`);
  const tasks = Array.from(
    { length: services * tasksPerService },
    (_, index) => `${taskAddress(index)} tasks.s${index % services}`,
  );
  return `${[...virtual, ...tasks].join("\n")}\n`;
}

/** As dnsperf reads them. */
export function questionsOf({ services }: Names): string {
  const lines = Array.from({ length: services }, (_, index) => `s${index} A\ntasks.s${index} A\n`);
  return lines.join("");
}

function virtualIp(index: number): string {
  return `10.1.${index >> 8}.${index & 255}`;
}

function taskAddress(index: number): string {
  return `10.${2 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}
