/** A service's `ports` and `deploy.endpoint_mode` → its endpoint. */
import { create } from "@bufbuild/protobuf";
import {
  EndpointAffinity,
  EndpointMode,
  type EndpointSpec,
  EndpointSpecSchema,
  type PortConfig,
  PortConfigSchema,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { PortEntry, ServiceEntry } from "../compose/compose-file.ts";
import { parseHostIp, parsePortRange, portProtocols, publishModes } from "../published-ports.ts";
import { type Reader, refusal } from "./reader.ts";

const endpointModes = { vip: EndpointMode.VIP, dnsrr: EndpointMode.DNSRR } as const;

const affinities = {
  none: EndpointAffinity.NONE,
  "client-ip": EndpointAffinity.CLIENT_IP,
} as const;

/** Undefined where the file says nothing of it. */
export function endpoint(
  reader: Reader,
  { ports = [], deploy }: ServiceEntry,
): EndpointSpec | undefined {
  const { endpoint_mode: mode, "x-affinity": affinity } = deploy ?? {};
  if (ports.length === 0 && mode === undefined && affinity === undefined) return undefined;
  return create(EndpointSpecSchema, {
    mode: endpointModes[mode ?? "vip"],
    ports: reader.each("ports", ports, portConfig),
    affinity: affinities[affinity ?? "none"],
  });
}

function portConfig(entry: PortEntry): PortConfig {
  const { target, published = 0, protocol = "tcp" } = entry;
  const hostIp = entry.host_ip === undefined ? "" : parseHostIp(entry.host_ip);
  const publishMode = publishModes[entry.mode ?? (hostIp === "" ? "ingress" : "host")];
  if (hostIp !== "" && publishMode !== PublishMode.HOST) {
    throw refusal("host_ip goes with mode host: a port of mode ingress is on every address");
  }
  return create(PortConfigSchema, {
    targetPort: target,
    publishedPort: publishedPort(String(published)),
    protocol: portProtocols[protocol],
    publishMode,
    hostIp,
    name: entry.name ?? "",
  });
}

function publishedPort(published: string): number {
  if (published === "" || published === "0") return 0;
  const [port, ...more] = parsePortRange(published);
  if (port !== undefined && more.length === 0) return port;
  throw refusal(`"${published}" is a range: write it in the short form`);
}
