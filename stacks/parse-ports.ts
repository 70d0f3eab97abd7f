/** The ports that a service of a stack file publishes, in the short form of flags or as maps. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type EndpointSpec,
  EndpointSpecSchema,
  type PortConfig,
  PortConfigSchema,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  parseHostIp,
  parsePortRange,
  parsePublishedPorts,
  portProtocols,
  publishModes,
} from "./published-ports.ts";
import { endpointModes } from "./compose/ports-schema.ts";
import type { PortEntry, ServiceEntry } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import { at, type StackContext } from "./stack-context.ts";

/** Undefined where the file says nothing of it. */
export function parseEndpoint(
  context: StackContext,
  path: Path,
  { ports = [], deploy }: ServiceEntry,
): EndpointSpec | undefined {
  const mode = deploy?.endpoint_mode;
  if (ports.length === 0 && mode === undefined) return undefined;
  return create(EndpointSpecSchema, {
    mode: endpointModes[mode ?? "vip"],
    ports: ports.flatMap((entry, index) =>
      at(context, [...path, "ports", String(index)], () =>
        typeof entry === "object" ? [longPort(entry)] : parsePublishedPorts(String(entry)),
      ),
    ),
  });
}

function longPort(entry: PortEntry): PortConfig {
  const { target, published = 0, protocol = "tcp", mode = "ingress" } = entry;
  const publishMode = publishModes[mode];
  const hostIp = entry.host_ip === undefined ? "" : parseHostIp(entry.host_ip);
  if (hostIp !== "" && publishMode !== PublishMode.HOST) {
    const problem = "host_ip goes with mode host: a port of mode ingress is on every address";
    throw new Fault("invalid-argument", problem);
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
  throw new Fault("invalid-argument", `"${published}" is a range: write it in the short form`);
}
