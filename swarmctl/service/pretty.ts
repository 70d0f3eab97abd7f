/** A service for people, in the order of Docker's `service inspect --pretty`. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  EndpointAffinity,
  EndpointMode,
  type Network,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { autoscaleLines } from "./pretty-autoscale.ts";
import { protocolWords } from "./publish.ts";
import { containerLines } from "./pretty-container.ts";
import { formatLine, type Line, optional, section } from "./pretty-lines.ts";
import { dependencyLines, modeLines, placementLines, scheduleLines } from "./pretty-mode.ts";
import { updateConfigLines, updateStatusLines } from "./pretty-update.ts";
import { serviceName } from "./words.ts";

interface Surroundings {
  /** Of the whole cluster: the service's virtual addresses do not tell their networks' names. */
  readonly networks: readonly Network[];
  readonly nowMs: number;
}

export function prettyService(service: Service, { networks, nowMs }: Surroundings): string {
  const names = new Map(networks.map(({ id, spec }) => [id, spec?.annotations?.name ?? id]));
  const lines = [
    ...identityLines(service),
    ...modeLines(service),
    ...scheduleLines(service, nowMs),
    ...autoscaleLines(service, nowMs),
    ...dependencyLines(service),
    ...updateStatusLines(service, nowMs),
    ...placementLines(service),
    ...updateConfigLines(service),
    ...containerLines(service),
    ...networkLines(service, names),
    ...endpointLines(service, names),
  ];
  return lines.map(formatLine).join("\n");
}

function identityLines(service: Service): Line[] {
  const { spec } = service;
  const labels = Object.entries(spec?.annotations?.labels ?? {});
  return [
    [0, "ID", service.id],
    [0, "Name", serviceName(service)],
    ...section(
      "Labels",
      labels.map(([key, value]): Line => [1, `${key}=${value}`]),
    ),
  ];
}

function networkLines({ spec }: Service, names: ReadonlyMap<string, string>): Line[] {
  const attachments = spec?.task?.networks ?? [];
  return section(
    "Networks",
    attachments.flatMap(({ target, aliases, addresses }): Line[] => [
      [1, names.get(target) ?? target],
      ...optional(2, "Aliases", aliases.join(", ")),
      ...optional(2, "Addresses", addresses.join(", ")),
    ]),
  );
}

function endpointLines({ spec, endpoint }: Service, names: ReadonlyMap<string, string>): Line[] {
  const isDnsrr = spec?.endpoint?.mode === EndpointMode.DNSRR;
  const byClient = spec?.endpoint?.affinity === EndpointAffinity.CLIENT_IP;
  const ports = (endpoint?.ports ?? []).flatMap((port): Line[] => [
    [1, "PublishedPort", `${port.publishedPort}`],
    [2, "Protocol", protocolWords[port.protocol]],
    [2, "TargetPort", `${port.targetPort}`],
    [2, "PublishMode", port.publishMode === PublishMode.HOST ? "host" : "ingress"],
    ...optional(2, "HostIP", port.hostIp),
  ]);
  const vips = (endpoint?.virtualIps ?? []).map(
    ({ networkId, address }): Line => [1, names.get(networkId) ?? networkId, address],
  );
  return [
    [0, "Endpoint Mode", isDnsrr ? "dnsrr" : "vip"],
    ...(byClient ? [[0, "Endpoint Affinity", "client-ip"] as const] : []),
    ...section("Virtual IPs", vips),
    ...section("Ports", ports),
  ];
}
