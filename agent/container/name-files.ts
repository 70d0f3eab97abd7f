/** The files by which a container's libc finds names: /etc/hosts and /etc/resolv.conf. Pure. */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { hostnameOf } from "./oci-spec.ts";
import { containerOf } from "./container-of.ts";

const loopback = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "ff00::0\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** `addresses` are the task's own on its networks. */
export function planHosts(task: Task, addresses: readonly string[]): string {
  const container = containerOf(task);
  const extra = (container?.hosts ?? []).map((line) => oneLine(line).replace(/\s+/, "\t"));
  const own = addresses.map((address) => `${address}\t${hostnameOf(task)}`);
  return [...loopback, ...extra, ...own, ""].join("\n");
}

/**
 * Whom a task asks: its network's server, which asks others for it, those of its user among them; on the host's network as the
 * host does, and without a network nobody, unless its user names servers.
 */
export interface NameSource {
  readonly nameserver?: string;
  /** The host's domains, tried where the user names none. */
  readonly search?: readonly string[];
  /** The host's own resolv.conf. */
  readonly hostFile?: string;
}

export function planResolvConf(task: Task, source: NameSource): string {
  const { nameserver, hostFile } = source;
  const container = containerOf(task);
  const dns = container?.dnsConfig;
  const wanted = dns?.nameservers ?? [];
  if (hostFile !== undefined && wanted.length === 0) return hostFile;
  const servers = nameserver === undefined ? wanted : [nameserver];
  const given = dns?.options ?? [];
  // A name such as "web" is asked as it is, before any search domain.
  const ndots = nameserver !== undefined && !given.some((option) => option.startsWith("ndots:"));
  const options = [...given, ...(ndots ? ["ndots:0"] : [])];
  const asked = dns?.search ?? [];
  // As in Docker, the root alone means none.
  const search = (asked.length > 0 ? asked : (source.search ?? [])).filter((name) => name !== ".");
  const lines = [
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
  ];
  return lines.map((line) => `${oneLine(line)}\n`).join("");
}

function oneLine(text: string): string {
  if (!/[\n\r\0]/.test(text)) return text;
  throw new Fault("invalid-argument", `${JSON.stringify(text)} has a line break in it`);
}
