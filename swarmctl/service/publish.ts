/** The flags of published ports, what they make of those that a service has, and how ports are shown. */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type PortConfig,
  PortConfigSchema,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  parseHostIp,
  parsePortRange,
  parseProtocol,
  parsePublishedPorts,
  parsePublishMode,
} from "#stacks/published-ports.ts";
import { parseFields } from "../flags/parse-flag.ts";

/** One --publish flag: `8080:80/udp`, or `published=8080,target=80,protocol=udp,mode=host`. */
export function parsePublish(text: string): PortConfig[] {
  return text.includes("=") ? [parseLongForm(text)] : parsePublishedPorts(text);
}

function parseLongForm(text: string): PortConfig {
  const port = create(PortConfigSchema);
  const seen = new Set<string>();
  for (const { key, value } of parseFields(text)) {
    const field = aliases[key] ?? key;
    if (seen.has(field)) throw new Fault("invalid-argument", `"${key}" is given twice`);
    seen.add(field);
    setField(port, field, value);
  }
  if (port.targetPort === 0) throw new Fault("invalid-argument", "Say target=PORT");
  if (port.hostIp !== "" && port.publishMode !== PublishMode.HOST) {
    const problem = "host_ip goes with mode=host: a port of mode ingress is on every address";
    throw new Fault("invalid-argument", problem);
  }
  return port;
}

const aliases: Readonly<Record<string, string>> = { src: "published", dst: "target" };

function setField(port: PortConfig, field: string, value: string): void {
  if (field === "target") port.targetPort = onePort(value);
  else if (field === "published") port.publishedPort = value === "0" ? 0 : onePort(value);
  else if (field === "protocol") port.protocol = parseProtocol(value);
  else if (field === "mode") port.publishMode = parsePublishMode(value);
  else if (field === "host_ip") port.hostIp = parseHostIp(value);
  else if (field === "name") port.name = value;
  else {
    const problem = `"${field}" is none of published, target, protocol, mode, host_ip, name`;
    throw new Fault("invalid-argument", problem);
  }
}

function onePort(text: string): number {
  const [port, ...more] = parsePortRange(text);
  if (port !== undefined && more.length === 0) return port;
  throw new Fault("invalid-argument", `"${text}" is a range: write it in the short form`);
}

export interface PortChanges {
  readonly publishAdd?: readonly PortConfig[][];
  /** By their targets, as in Docker; one with a published number goes only with that. */
  readonly publishRm?: readonly PortConfig[][];
}

/** A port that is added takes the place of one with the same published number. */
export function changedPorts(
  before: readonly PortConfig[],
  { publishAdd = [], publishRm = [] }: PortChanges,
): PortConfig[] {
  const [added, gone] = [publishAdd.flat(), publishRm.flat()];
  for (const port of gone) {
    if (before.some((one) => isNamedBy(one, port))) continue;
    const published = port.publishedPort === 0 ? "" : `${port.publishedPort}:`;
    const word = `${published}${port.targetPort}/${protocolWords[port.protocol]}`;
    const has = before.length === 0 ? "none" : portsWord(before);
    throw new Fault(
      "invalid-argument",
      `Cannot take out port ${word}, which the service does not publish: name the target of one of its ports (it has ${has})`,
    );
  }
  const kept = before.filter(
    (one) =>
      !gone.some((port) => isNamedBy(one, port)) &&
      !added.some((port) => isSamePlace(one, port) || equals(PortConfigSchema, one, port)),
  );
  return [...kept, ...added];
}

function isNamedBy(port: PortConfig, { publishedPort, targetPort, protocol }: PortConfig): boolean {
  if (publishedPort !== 0 && publishedPort !== port.publishedPort) return false;
  return port.targetPort === targetPort && port.protocol === protocol;
}

function isSamePlace(a: PortConfig, b: PortConfig): boolean {
  return (
    a.publishedPort !== 0 &&
    a.publishedPort === b.publishedPort &&
    a.protocol === b.protocol &&
    a.hostIp === b.hostIp
  );
}

export const protocolWords: Readonly<Record<PortProtocol, string>> = {
  [PortProtocol.TCP]: "tcp",
  [PortProtocol.UDP]: "udp",
  [PortProtocol.SCTP]: "sctp",
};

/** As Docker shows them, "*:8080->80/tcp", with neighbours as one range. */
export function portsWord(ports: readonly PortConfig[]): string {
  const ordered = ports.toSorted(
    (a, b) => a.protocol - b.protocol || a.publishedPort - b.publishedPort,
  );
  const runs: PortConfig[][] = [];
  for (const port of ordered) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run !== undefined && last !== undefined && isNext(last, port)) run.push(port);
    else runs.push([port]);
  }
  return runs.map(runWord).join(", ");
}

function isNext(a: PortConfig, b: PortConfig): boolean {
  return (
    a.publishedPort !== 0 &&
    b.publishedPort === a.publishedPort + 1 &&
    b.targetPort === a.targetPort + 1 &&
    b.protocol === a.protocol &&
    b.hostIp === a.hostIp
  );
}

function runWord(run: readonly PortConfig[]): string {
  const [first, last] = [run[0], run.at(-1)];
  if (first === undefined || last === undefined) return "";
  const range = (from: number, to: number) => (from === to ? `${from}` : `${from}-${to}`);
  const published = range(first.publishedPort, last.publishedPort);
  const { hostIp } = first;
  const address = hostIp === "" ? "*" : hostIp.includes(":") ? `[${hostIp}]` : hostIp;
  const target = range(first.targetPort, last.targetPort);
  return `${address}:${published}->${target}/${protocolWords[first.protocol]}`;
}
