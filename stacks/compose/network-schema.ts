/** What a stack file may say of networks and of the ports that services publish, as JSON Schemas. */
import { external } from "./files-schema.ts";
import {
  choice,
  flag,
  list,
  map,
  name,
  named,
  namesOr,
  number,
  orNull,
  pairs,
  scalar,
  text,
  texts,
} from "./schema-parts.ts";

const longPort = map(
  {
    target: {
      type: "integer",
      minimum: 1,
      maximum: 65_535,
      description: "a number from 1 to 65535",
    },
    published: {
      type: ["integer", "string"],
      minimum: 0,
      maximum: 65_535,
      description: "a number from 0 to 65535",
    },
    protocol: choice("tcp", "udp", "sctp"),
    mode: choice("ingress", "host"),
    host_ip: { type: "string", description: "an IP address of the host" },
    name: text,
    app_protocol: text,
  },
  ["target"],
);

export const portsSchema = list(
  {
    ...longPort,
    type: ["string", "integer", "object"],
    description: 'a port such as "8080:80", or a map',
  },
  'a list of ports such as "8080:80"',
);

/** Ours: one for each replica; Docker has one, for one container. */
const addresses = {
  type: ["string", "array"],
  items: text,
  description: "an IP address, or a list of one for each replica",
} as const;

export const attachmentsSchema = namesOr(
  orNull(
    map({
      aliases: texts,
      ipv4_address: addresses,
      ipv6_address: addresses,
      driver_opts: named(scalar),
      gw_priority: number,
      interface_name: text,
      link_local_ips: texts,
      mac_address: text,
      priority: number,
    }),
  ),
  "a list of networks or a map",
);

const subnet = map({
  subnet: { type: "string", description: "a subnet such as 10.1.0.0/24" },
  gateway: { type: "string", description: "an address of the subnet" },
  ip_range: { type: "string", description: "a part of the subnet" },
  aux_addresses: named({ type: "string", description: "an address of the subnet" }),
});

export const networkSchema = orNull(
  map({
    name,
    driver: text,
    internal: flag,
    attachable: flag,
    external,
    enable_ipv4: flag,
    enable_ipv6: flag,
    driver_opts: named(scalar),
    labels: pairs,
    ipam: map({
      driver: text,
      config: list(subnet, "a list of subnets"),
      options: named(scalar),
    }),
  }),
);
