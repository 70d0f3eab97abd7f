/** Which of its addresses a host shows to others: as the user says, by address or by interface, or as its routes do. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { Fault } from "#proto/fault.ts";

export const managerPort = 2377;

/** "host", "host:port" or "" + default port → "host:port". */
export function withPort(address: string, flag: string): string {
  const [host = "", port, ...rest] = address.split(":");
  const number = port === undefined ? managerPort : Number(port);
  const isPort = /^[0-9]{1,5}$/.test(port ?? "1") && number >= 1 && number <= 65_535;
  if (!/^[A-Za-z0-9._-]+$/.test(host) || rest.length > 0 || !isPort) {
    throw new Fault(
      "invalid-argument",
      `${flag} "${address}" is not an address: write HOST or HOST:PORT, such as 192.0.2.1:${managerPort}`,
    );
  }
  return `${host}:${number}`;
}

export function hostOf(address: string): string {
  return address.split(":")[0] ?? address;
}

/** The IPv4 address of the interface that the default route leaves by. */
export function defaultAddress(): string {
  const device = defaultRouteDevice(readFileSync("/proc/net/route", "utf8"));
  const addresses = (networkInterfaces()[device ?? ""] ?? []).filter((a) => a.family === "IPv4");
  const [first] = addresses;
  if (first !== undefined && addresses.length === 1) return first.address;
  throw new Fault(
    "failed-precondition",
    device === undefined
      ? "this host has no default route to tell its address by: give --advertise-addr"
      : `interface ${device} has ${addresses.length} IPv4 addresses: choose with --advertise-addr`,
  );
}

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * "eth1" and "eth1:2377" → the interface's IPv4 address in its place, as Docker has it; everything else as it is. An
 * interface with several is refused: which one is meant cannot be told.
 */
export function resolveInterface(
  address: string,
  flag: string,
  interfaces: Interfaces = networkInterfaces(),
): string {
  const name = hostOf(address);
  const all = Object.hasOwn(interfaces, name) ? interfaces[name] : undefined;
  if (all === undefined) return address;
  const ipv4 = all.filter(({ family }) => family === "IPv4");
  const [first, ...more] = ipv4.map((one) => one.address);
  if (first !== undefined && more.length === 0) return `${first}${address.slice(name.length)}`;
  const has =
    first === undefined ? "no IPv4 address" : `the IPv4 addresses ${[first, ...more].join(", ")}`;
  throw new Fault(
    "invalid-argument",
    `${flag} "${address}": interface ${name} has ${has}; give one address of this host`,
  );
}

/** From the kernel's table (proc_net_route): the device of the route to 0.0.0.0/0 with the smallest metric. */
export function defaultRouteDevice(table: string): string | undefined {
  const routes = table
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s+/))
    .filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000")
    .toSorted((a, b) => Number(a[6]) - Number(b[6]));
  return routes[0]?.[0];
}

/** The own address from which packets to `address` ("host:port") leave. Asks the routing table; sends nothing. */
export async function addressTowards(address: string): Promise<string> {
  const [host = "", port] = address.split(":");
  const socket = createSocket("udp4");
  try {
    socket.connect(Number(port), host);
    await once(socket, "connect");
    return socket.address().address;
  } catch (thrown) {
    throw Fault.wrap(`Cannot find the way to ${address}`, thrown);
  } finally {
    socket.close();
  }
}

/** Refuses an address that is not one of the host's own: others could not reach it there. */
export function requireOwnAddress(host: string, flag: string): void {
  if (!isIPv4(host)) {
    throw new Fault("invalid-argument", `${flag} "${host}" is not an IPv4 address`);
  }
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (own.some(({ address }) => address === host)) return;
  throw new Fault(
    "invalid-argument",
    `${flag} "${host}" is no address of this host, which has ${own
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .map(({ address }) => address)
      .join(", ")}`,
  );
}

export interface NodeAddresses {
  /** host:port at which others reach the manager of this host. */
  readonly advertiseAddress: string;
  /** host:port on which it listens. */
  readonly listenAddress: string;
  /** An address of this host, where other nodes send its containers' packets. */
  readonly dataPathAddress: string;
}

/** As the user gave them, empty where nothing was said, completed and checked. */
export function managerAddresses(asGiven: NodeAddresses): NodeAddresses {
  const given = withoutInterfaces(asGiven);
  return completeAddresses(given, given.advertiseAddress || defaultAddress());
}

/** The same for a host that joins: by default it shows the address by which it reaches the managers. */
export async function joinAddresses(
  asGiven: NodeAddresses,
  managers: readonly string[],
): Promise<NodeAddresses> {
  const given = withoutInterfaces(asGiven);
  const [first] = managers;
  if (first === undefined) throw new Fault("invalid-argument", "no manager is given to join");
  refuseLoopback(given.advertiseAddress, "--advertise-addr");
  refuseLoopback(given.dataPathAddress, "--data-path-addr");
  return completeAddresses(given, given.advertiseAddress || (await addressTowards(first)));
}

function withoutInterfaces(given: NodeAddresses): NodeAddresses {
  return {
    advertiseAddress: resolveInterface(given.advertiseAddress, "--advertise-addr"),
    listenAddress: resolveInterface(given.listenAddress, "--listen-addr"),
    dataPathAddress: resolveInterface(given.dataPathAddress, "--data-path-addr"),
  };
}

/** Every host has it, so the managers would find themselves there. Who makes a cluster may mean to stay alone. */
function refuseLoopback(address: string, flag: string): void {
  if (!address.startsWith("127.")) return;
  throw new Fault(
    "invalid-argument",
    `${flag} "${address}" leads each host to itself: give the address at which the other nodes reach this one`,
  );
}

function completeAddresses(given: NodeAddresses, advertised: string): NodeAddresses {
  const advertiseAddress = withPort(advertised, "--advertise-addr");
  requireOwnAddress(hostOf(advertiseAddress), "--advertise-addr");
  const dataPathAddress = given.dataPathAddress || hostOf(advertiseAddress);
  requireOwnAddress(dataPathAddress, "--data-path-addr");
  const listenAddress = withPort(given.listenAddress || `0.0.0.0:${managerPort}`, "--listen-addr");
  return { advertiseAddress, listenAddress, dataPathAddress };
}
