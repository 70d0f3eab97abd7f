/**
 * Docker's short form of published ports, as flags and stack files have it: [IP:][PUBLISHED:]TARGET[/PROTOCOL], where
 * both numbers may be ranges of one length, several published ports may lead to one target, and an address means the ports
 * of the task's own host.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type PortConfig,
  PortConfigSchema,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isAddress } from "#proto/ipv4.ts";
import { isAddress6 } from "#proto/ipv6.ts";

export const portProtocols = {
  tcp: PortProtocol.TCP,
  udp: PortProtocol.UDP,
  sctp: PortProtocol.SCTP,
} as const;

export const publishModes = {
  ingress: PublishMode.INGRESS,
  host: PublishMode.HOST,
} as const;

const portMax = 65_535;

/** A slip of the finger, above this. */
const rangeMax = 1_000;

export function parsePublishedPorts(text: string): PortConfig[] {
  const match = /^(?:(\[[^\]]*\]|[^:[\]]*):)??(?:([^:[\]]*):)?([^:/[\]]+)(?:\/([^/]*))?$/.exec(
    text,
  );
  const [, ip, published, target, protocol = "tcp"] = match ?? [];
  if (target === undefined || (ip !== undefined && published === undefined)) {
    throw new Fault(
      "invalid-argument",
      `"${text}" is no published port: write [IP:][PUBLISHED:]TARGET[/PROTOCOL], such as 8080:80 or 53:53/udp`,
    );
  }
  const range = parsePortRange(target);
  const numbers = publishedNumbers(text, published, range.length);
  const [first = 0] = range;
  const targets = numbers.length > range.length ? numbers.map(() => first) : range;
  const hostIp = ip === undefined ? "" : parseHostIp(ip.replace(/^\[(.*)\]$/, "$1"));
  return targets.map((targetPort, index) =>
    create(PortConfigSchema, {
      targetPort,
      publishedPort: numbers[index] ?? 0,
      protocol: parseProtocol(protocol),
      publishMode: hostIp === "" ? PublishMode.INGRESS : PublishMode.HOST,
      hostIp,
    }),
  );
}

/** None where the managers are to choose. */
function publishedNumbers(text: string, published: string | undefined, count: number): number[] {
  if (published === undefined || published === "" || published === "0") return [];
  const numbers = parsePortRange(published);
  if (count === 1 || numbers.length === count) return numbers;
  throw new Fault(
    "invalid-argument",
    `"${text}" publishes ${numbers.length} ports for ${count}: give as many on both sides`,
  );
}

/** "8000-8010", or one number. */
export function parsePortRange(text: string): number[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (match === null || first < 1 || last > portMax || last < first) {
    throw new Fault(
      "invalid-argument",
      `"${text}" is no port: use a number from 1 to ${portMax}, or a range such as 8000-8010`,
    );
  }
  const count = last - first + 1;
  if (count > rangeMax) {
    throw new Fault("invalid-argument", `"${text}" is ${count} ports: use at most ${rangeMax}`);
  }
  return Array.from({ length: count }, (_, index) => first + index);
}

export function parseHostIp(text: string): string {
  if (isAddress(text) || isAddress6(text)) return text;
  throw new Fault("invalid-argument", `"${text}" is not an IP address of a host`);
}

export function parseProtocol(text: string): PortProtocol {
  return wordOf(portProtocols, text.toLowerCase(), "a protocol");
}

export function parsePublishMode(text: string): PublishMode {
  return wordOf(publishModes, text, "a mode");
}

function wordOf<T>(words: Readonly<Record<string, T>>, text: string, what: string): T {
  const meaning = Object.hasOwn(words, text) ? words[text] : undefined;
  if (meaning !== undefined) return meaning;
  const choices = Object.keys(words).join(", ");
  throw new Fault("invalid-argument", `"${text}" is not ${what}: use one of ${choices}`);
}
