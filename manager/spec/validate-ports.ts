/** What a service says of its endpoint: mode, affinity and published ports. Pure; the store is read for others' ports. */
import {
  EndpointAffinity,
  EndpointMode,
  type EndpointSpec,
  IpFamily,
  type NetworkAttachmentConfig,
  type PortConfig,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import { PortBook, portKey } from "../allocator/port-book.ts";
import { type Address, isAnyAddress, parseAddress } from "../allocator/subnet.ts";
import { ingressNetwork, needsIngress, noIngressNetwork, publishesOnIngress } from "../ingress.ts";
import { nodePorts } from "../node-ports.ts";
import type { View } from "../store/store.ts";
import { checkEnum, checkName, checkRange, invalid } from "./field.ts";

const portRange = { min: 1, max: 65_535 } as const;

/** Above this it is a slip of the finger: each task carries them, and each node has rules for them. */
const portsMax = 2_000;

export interface EndpointPlace {
  readonly networks: readonly NetworkAttachmentConfig[];
  /** The service's; "" while it has none. */
  readonly serviceId: string;
  readonly view: View;
}

export function checkEndpoint(endpoint: EndpointSpec | undefined, place: EndpointPlace): void {
  if (endpoint === undefined) return;
  checkEnum("endpoint.mode", endpoint.mode, EndpointMode);
  checkEnum("endpoint.affinity", endpoint.affinity, EndpointAffinity);
  const count = endpoint.ports.length;
  if (count > portsMax) throw invalid("endpoint.ports", `are ${count}: use at most ${portsMax}`);
  for (const [index, port] of endpoint.ports.entries()) {
    checkPort(`endpoint.ports[${index}]`, port);
  }
  refuseTwice(endpoint.ports);
  checkTogether(endpoint, place);
  if (needsIngress(endpoint, place.networks) && ingressNetwork(place.view) === undefined) {
    throw new Fault("failed-precondition", noIngressNetwork);
  }
  refuseTaken(endpoint.ports, place);
}

function checkPort(path: string, port: PortConfig): void {
  checkEnum(`${path}.protocol`, port.protocol, PortProtocol);
  checkEnum(`${path}.publish_mode`, port.publishMode, PublishMode);
  checkRange(`${path}.target_port`, port.targetPort, portRange);
  if (port.publishedPort !== 0) {
    checkRange(`${path}.published_port`, port.publishedPort, portRange);
  }
  const { name, hostIp } = port;
  // It stands in DNS, of SRV records.
  if (name !== "") checkName(`${path}.name`, name);
  if (hostIp === "") return;
  if (port.publishMode === PublishMode.INGRESS) {
    const problem = `is ${hostIp}, but a port of mode ingress is on every address of every node: use mode=host, or leave it out`;
    throw invalid(`${path}.host_ip`, problem);
  }
  if (!isAnyAddress(hostIp)) {
    throw invalid(`${path}.host_ip`, `"${hostIp}" is not an IP address`);
  }
}

/** One number of one protocol leads to one place; in host mode, each address of the host has its own. */
function refuseTwice(ports: readonly PortConfig[]): void {
  const seen = new Map<string, Set<bigint>>();
  for (const [index, port] of ports.entries()) {
    if (port.publishedPort === 0) continue;
    for (const { family, value } of hostAddresses(port)) {
      const key = `${portKey(port)} ${family}`;
      const others = seen.get(key) ?? new Set();
      if (
        others.has(value) ||
        others.has(everywhere) ||
        (value === everywhere && others.size > 0)
      ) {
        throw invalid(`endpoint.ports[${index}]`, `publishes port ${portKey(port)} a second time`);
      }
      seen.set(key, others.add(value));
    }
  }
}

/** 0.0.0.0 and ::, which stand for all addresses of a host. */
const everywhere = 0n;

function hostAddresses({ hostIp }: PortConfig): readonly Address[] {
  if (hostIp !== "") return [parseAddress(hostIp)];
  return [IpFamily.IPV4, IpFamily.IPV6].map((family) => ({ family, value: everywhere }));
}

function checkTogether(endpoint: EndpointSpec, { networks }: EndpointPlace): void {
  const [first] = endpoint.ports;
  if (first !== undefined) {
    const alone = networks.find(({ target }) => target === "host" || target === "none")?.target;
    const why = {
      host: "the service's ports are the host's own already, as its tasks use the host's network: publish none",
      none: 'network "none" leads nowhere: put the service on another network',
    };
    if (alone === "host" || alone === "none")
      throw invalid("endpoint.ports[0]", `cannot be published: ${why[alone]}`);
  }
  if (endpoint.mode !== EndpointMode.DNSRR || !publishesOnIngress(endpoint)) return;
  const problem =
    "is dnsrr, which has no virtual address that a port of mode ingress could lead to: use mode=host for the ports, or endpoint mode vip";
  throw invalid("endpoint.mode", problem);
}

function refuseTaken(ports: readonly PortConfig[], { serviceId, view }: EndpointPlace): void {
  if (ports.every(({ publishedPort }) => publishedPort === 0)) return;
  const book = new PortBook(view);
  const own = nodePorts(view);
  for (const [index, port] of ports.entries()) {
    if (port.publishedPort === 0) continue;
    const use = own.get(portKey(port));
    if (use !== undefined) {
      const problem = `publishes port ${portKey(port)}, which ${use}: choose another`;
      throw invalid(`endpoint.ports[${index}]`, problem);
    }
    const holder = book.holderOf(port, serviceId, { asked: true });
    if (holder === undefined) continue;
    const name = view.get("service", holder)?.spec?.annotations?.name ?? holder;
    const message = `port ${portKey(port)} is already published by service "${name}": choose another, or take it from that service first`;
    throw new Fault("failed-precondition", message);
  }
}
