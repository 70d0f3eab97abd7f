/** A service for people, in the order of Docker's `service inspect --pretty`. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointAffinity,
  EndpointMode,
  type Network,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { autoscaleLines } from "./pretty-autoscale.ts";
import { protocolWords } from "./publish.ts";
import { updateConfigLines, updateStatusLines } from "./pretty-update.ts";
import { wantedReplicas } from "./scale-words.ts";
import { imageOf, modeWord, serviceName } from "./words.ts";

export type Line = readonly [indent: number, key: string, value?: string | undefined];

interface Surroundings {
  /** Of the whole cluster: the service's virtual addresses do not tell their networks' names. */
  readonly networks: readonly Network[];
  readonly nowMs: number;
}

export function prettyService(service: Service, { networks, nowMs }: Surroundings): string {
  const names = new Map(networks.map(({ id, spec }) => [id, spec?.annotations?.name ?? id]));
  const lines = [
    ...identityLines(service),
    ...autoscaleLines(service, nowMs),
    ...updateStatusLines(service, nowMs),
    ...updateConfigLines(service),
    ...containerLines(service),
    ...networkLines(service, names),
    ...endpointLines(service, names),
  ];
  return lines.map(formatLine).join("\n");
}

function formatLine([indent, key, value]: Line): string {
  const begin = `${"  ".repeat(indent)}${key}`;
  if (value === undefined) return begin;
  return `${`${begin}:`.padEnd(17)} ${value}`.trimEnd();
}

function identityLines(service: Service): Line[] {
  const { spec } = service;
  const labels = Object.entries(spec?.annotations?.labels ?? {});
  const replicas = spec?.mode.case === "replicated" ? wantedReplicas(service) : undefined;
  return [
    [0, "ID", service.id],
    [0, "Name", serviceName(service)],
    ...section(
      "Labels",
      labels.map(([key, value]): Line => [1, `${key}=${value}`]),
    ),
    [0, "Service Mode", modeWord(spec)],
    ...(replicas === undefined ? [] : [[1, "Replicas", `${replicas}`] as const]),
  ];
}

function containerLines({ spec }: Service): Line[] {
  const runtime = spec?.task?.runtime;
  const container: Partial<ContainerSpec> = runtime?.case === "container" ? runtime.value : {};
  const { command = [], args = [], env = [], user = "" } = container;
  return [
    [0, "ContainerSpec"],
    [1, "Image", imageOf(spec)],
    ...optional(1, "Command", command.join(" ")),
    ...optional(1, "Args", args.join(" ")),
    ...optional(1, "Env", env.join(" ")),
    ...optional(1, "User", user),
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

function section(title: string, lines: readonly Line[]): Line[] {
  return lines.length === 0 ? [] : [[0, title], ...lines];
}

function optional(indent: number, key: string, value: string): Line[] {
  return value === "" ? [] : [[indent, key, value]];
}
