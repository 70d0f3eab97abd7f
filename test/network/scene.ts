/**
 * What the checks look at: networks of every kind, services with addresses and ports, and which host has which task. Plain
 * data; cluster.ts makes it stand.
 *
 * front    10.100.1.0/24, fd00:64:1::/64   a1 a2 a3 (service `all`), a1b, c1, c2, c3, m2
 * back     10.100.2.0/24, fd00:64:2::/64   b1 b2, m2
 * inner    10.100.3.0/24, fd00:64:3::/64, internal        i1 i2
 * sealed   10.100.4.0/24, fd00:64:4::/64   encrypted: e1 e2
 * ingress  10.100.16.0/20                  p1 p2, on no overlay: for published ports alone, beside their hosts' bridges
 * own      172.31.77.16/28                 u1 u2; a user's subnet with the gateway at its end
 */
import { create } from "@bufbuild/protobuf";
import {
  EndpointAffinity,
  type Network,
  NetworkSchema,
  type PortConfig,
  PortConfigSchema,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { IpFamily } from "#proto/gen/swarm/v1/types_pb.ts";

export type NetworkName = "front" | "back" | "inner" | "sealed" | "own" | "ingress";

export const gateways: Readonly<Record<NetworkName, string>> = {
  front: "10.100.1.1",
  back: "10.100.2.1",
  inner: "10.100.3.1",
  sealed: "10.100.4.1",
  own: "172.31.77.30",
  ingress: "10.100.16.1",
};

/** The host's side of every task's link. */
export const gatewayMac = "02:6e:ff:ff:ff:ff";

export const gateway6 = "fd00:64:1::1";

interface Kind {
  readonly subnet: string;
  readonly subnet6?: string;
  readonly internal?: boolean;
  readonly encrypted?: boolean;
  readonly ingress?: boolean;
}

function network(name: NetworkName, kind: Kind): Network {
  const { subnet, subnet6, internal = false, encrypted = false, ingress = false } = kind;
  const ipv4 = { family: IpFamily.IPV4, subnet, gateway: gateways[name] };
  const ipv6 =
    subnet6 === undefined
      ? []
      : [{ family: IpFamily.IPV6, subnet: subnet6, gateway: subnet6.replace(/\/\d+$/, "1") }];
  return create(NetworkSchema, {
    id: name,
    spec: { annotations: { name }, internal, encrypted, ingress, ipv6Enabled: ipv6.length > 0 },
    ipam: { configs: [ipv4, ...ipv6] },
  });
}

export const networks: Readonly<Record<NetworkName, Network>> = {
  front: network("front", { subnet: "10.100.1.0/24", subnet6: "fd00:64:1::/64" }),
  back: network("back", { subnet: "10.100.2.0/24", subnet6: "fd00:64:2::/64" }),
  inner: network("inner", { subnet: "10.100.3.0/24", subnet6: "fd00:64:3::/64", internal: true }),
  sealed: network("sealed", {
    subnet: "10.100.4.0/24",
    subnet6: "fd00:64:4::/64",
    encrypted: true,
  }),
  own: network("own", { subnet: "172.31.77.16/28" }),
  ingress: network("ingress", { subnet: "10.100.16.0/20", ingress: true }),
};

export interface Place {
  readonly network: NetworkName;
  readonly address: string;
  readonly address6?: string;
}

export interface TaskPlan {
  readonly name: string;
  readonly host: number;
  readonly service: string;
  readonly places: readonly Place[];
  /** On its host's bridge, where the host chooses the address. */
  readonly bridge?: boolean;
  /** False: it stands, and no service leads to it yet. */
  readonly serving?: boolean;
  /** Mode host: of this task's host alone. */
  readonly hostPorts?: readonly PortConfig[];
  /** Its own. */
  readonly nameservers?: readonly string[];
}

export interface ServicePlan {
  readonly name: string;
  readonly virtualIps: readonly {
    readonly network: NetworkName;
    readonly address: string;
    readonly address6?: string;
  }[];
  readonly ports: readonly PortConfig[];
  readonly publishedNetwork?: NetworkName;
  readonly affinity?: EndpointAffinity;
}

export const vip = "10.100.1.200";
export const vip6 = "fd00:64:1::200";
export const backVip = "10.100.2.200";

function on(network: NetworkName, address: string, address6?: string): Place {
  return address6 === undefined ? { network, address } : { network, address, address6 };
}

const front = (last: number) => on("front", `10.100.1.${last}`, `fd00:64:1::${last}`);
const back = (last: number) => on("back", `10.100.2.${last}`, `fd00:64:2::${last}`);
const sealed = (last: number) => on("sealed", `10.100.4.${last}`, `fd00:64:4::${last}`);
const inner = (last: number) => on("inner", `10.100.3.${last}`, `fd00:64:3::${last}`);

const c2HostPorts: readonly PortConfig[] = [
  ...bothProtocols({ published: 9098, target: 80, mode: PublishMode.HOST }),
  ...bothProtocols({ published: 9097, target: 80, mode: PublishMode.HOST, hostIp: "127.0.0.1" }),
  ...bothProtocols({ published: 9096, target: 80, mode: PublishMode.HOST, hostIp: "172.31.99.2" }),
];

export const tasks: readonly TaskPlan[] = [
  { name: "a1", host: 1, service: "all", places: [front(11)] },
  { name: "a2", host: 2, service: "all", places: [front(12)] },
  { name: "a3", host: 3, service: "all", places: [front(13)] },
  { name: "a1b", host: 1, service: "client", places: [front(21)] },
  { name: "c1", host: 1, service: "one", places: [front(31)] },
  { name: "c2", host: 2, service: "two", places: [front(32)], hostPorts: c2HostPorts },
  { name: "c3", host: 3, service: "two", places: [front(33)], serving: false },
  { name: "b1", host: 1, service: "behind", places: [back(11)] },
  { name: "b2", host: 2, service: "behind", places: [back(12)] },
  { name: "i1", host: 1, service: "", places: [inner(11)] },
  { name: "i2", host: 2, service: "inside", places: [inner(12)] },
  { name: "e1", host: 1, service: "", places: [sealed(11)] },
  { name: "e2", host: 2, service: "safe", places: [sealed(12)] },
  { name: "u1", host: 1, service: "owner", places: [on("own", "172.31.77.17")] },
  { name: "u2", host: 2, service: "owner", places: [on("own", "172.31.77.18")] },
  { name: "p1", host: 1, service: "edge", places: [on("ingress", "10.100.16.11")], bridge: true },
  { name: "p2", host: 2, service: "edge", places: [on("ingress", "10.100.16.12")], bridge: true },
  { name: "m2", host: 2, service: "many", places: [front(41), back(41)] },
];

export const services: readonly ServicePlan[] = [
  {
    name: "all",
    virtualIps: [{ network: "front", address: vip, address6: vip6 }],
    ports: [
      ...bothProtocols({ published: 8080, target: 80 }),
      ...bothProtocols({ published: 7070, target: 7070 }),
    ],
    publishedNetwork: "front",
  },
  {
    name: "one",
    virtualIps: [{ network: "front", address: "10.100.1.201", address6: "fd00:64:1::201" }],
    ports: bothProtocols({ published: 9091, target: 80 }),
    publishedNetwork: "front",
  },
  {
    name: "two",
    virtualIps: [{ network: "front", address: "10.100.1.202", address6: "fd00:64:1::202" }],
    ports: [
      ...bothProtocols({ published: 9092, target: 80 }),
      ...bothProtocols({ published: 9099, target: 9999 }),
    ],
    publishedNetwork: "front",
  },
  {
    name: "inside",
    virtualIps: [{ network: "inner", address: "10.100.3.200", address6: "fd00:64:3::200" }],
    ports: bothProtocols({ published: 9093, target: 80 }),
    publishedNetwork: "inner",
  },
  {
    name: "many",
    virtualIps: [
      { network: "front", address: "10.100.1.203", address6: "fd00:64:1::203" },
      { network: "back", address: backVip, address6: "fd00:64:2::200" },
    ],
    ports: bothProtocols({ published: 9094, target: 80 }),
    publishedNetwork: "back",
  },
  {
    name: "behind",
    virtualIps: [{ network: "back", address: "10.100.2.201", address6: "fd00:64:2::201" }],
    ports: bothProtocols({ published: 9101, target: 80 }),
    publishedNetwork: "back",
    affinity: EndpointAffinity.CLIENT_IP,
  },
  { name: "owner", virtualIps: [{ network: "own", address: "172.31.77.25" }], ports: [] },
  {
    name: "edge",
    virtualIps: [],
    ports: bothProtocols({ published: 9100, target: 80 }),
    publishedNetwork: "ingress",
  },
  {
    name: "safe",
    virtualIps: [{ network: "sealed", address: "10.100.4.200", address6: "fd00:64:4::200" }],
    ports: bothProtocols({ published: 9095, target: 80 }),
    publishedNetwork: "sealed",
  },
];

interface Port {
  readonly published: number;
  readonly target: number;
  readonly mode?: PublishMode;
  readonly hostIp?: string;
}

function bothProtocols(port: Port): readonly PortConfig[] {
  const { published, target, mode = PublishMode.INGRESS, hostIp = "" } = port;
  return [PortProtocol.TCP, PortProtocol.UDP].map((protocol) =>
    create(PortConfigSchema, {
      protocol,
      publishedPort: published,
      targetPort: target,
      publishMode: mode,
      hostIp,
    }),
  );
}
