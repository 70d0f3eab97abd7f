/** What a service of a stack file may say of its ports, as a JSON Schema, and the same as types. */
import { EndpointMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { portProtocols, publishModes } from "../published-ports.ts";
import { map, text } from "./schema-parts.ts";

const port = { type: "integer", minimum: 1, maximum: 65_535 } as const;

const longForm = map(
  {
    target: { ...port, description: "a number from 1 to 65535" },
    published: {
      type: ["integer", "string"],
      minimum: 0,
      maximum: 65_535,
      description: "a number from 0 to 65535",
    },
    protocol: { enum: Object.keys(portProtocols), description: "tcp, udp or sctp" },
    mode: { enum: Object.keys(publishModes), description: "ingress or host" },
    host_ip: { type: "string", description: "an IP address of the host" },
    name: text,
  },
  ["target"],
);

export const portsSchema = {
  type: "array",
  items: {
    ...longForm,
    type: ["string", "integer", "object"],
    description: 'a port such as "8080:80", or a map',
  },
  description: 'a list of ports such as "8080:80"',
} as const;

export const endpointModes = { vip: EndpointMode.VIP, dnsrr: EndpointMode.DNSRR } as const;

export const endpointModeSchema = {
  enum: Object.keys(endpointModes),
  description: "vip or dnsrr",
} as const;
