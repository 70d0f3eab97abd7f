/**
 * Reads what stands in this network namespace: the picture of our own objects, and what of the host's own the driver
 * needs to know. Only asked on open, for repair, and after an error: between, the driver remembers what it has written.
 */
import { readdir, readFile } from "node:fs/promises";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import { isAddress } from "#proto/ipv4.ts";
import { isAddress6 } from "#proto/ipv6.ts";
import { linkSysctls } from "./attachment.ts";
import { type DataPlane, emptyDataPlane, type VxlanLink, wantedSysctls } from "./data-plane.ts";
import { backTableOf, type Device, devices, gatewayMac, vethPrefix } from "./devices.ts";
import { readTables } from "./nft-reader.ts";
import { PartedMap } from "./parted-map.ts";
import { routeProtocol } from "./plan.ts";
import { holds, parseSubnet, type Subnet } from "./subnet.ts";
import { isRecord, type JsonObject, number, parseRecords, text } from "./tool-output.ts";

/** Where `ip netns` keeps its names; not a choice of ours. */
export const namespaceRoot = "/run/netns";

const sysctlRoot = "/proc/sys/net";

/** The host side of a task's link. */
export interface Veth {
  /** The task's, as far as their routes stand. */
  readonly addresses: readonly string[];
  /** What was found of it, as attachment.ts names what there must be. */
  readonly facts: ReadonlySet<string>;
}

export interface Kernel {
  readonly dataPlane: DataPlane;
  /** IPv4 addresses of the host's interfaces → MTU of the interface. */
  readonly mtuOfAddress: ReadonlyMap<string, number>;
  readonly veths: ReadonlyMap<string, Veth>;
  /** Tasks with a namespace. */
  readonly namespaces: ReadonlySet<string>;
  /** Where the host's own routes lead, the default one aside. */
  readonly hostSubnets: readonly Subnet[];
  readonly ipv6: boolean;
  /** Interfaces that take router advertisements, and would not as a router's. */
  readonly advertised: readonly string[];
  /** All rules of the host in nft's words. */
  readonly ruleset: string;
}

export async function readKernel(exec: Exec): Promise<Kernel> {
  const links = parseRecords((await exec.run("ip", ["-j", "-d", "addr", "show"])).stdout);
  const vxlans = parseVxlans(links);
  const advertised = await readAdvertised();
  const ipv6 = advertised !== undefined;
  const [four, six, fdb, tables, namespaces] = await Promise.all([
    readFamily(exec, "-4"),
    ipv6 ? readFamily(exec, "-6") : { routes: [], rules: [], neighbours: [] },
    vxlans.size === 0 ? { stdout: "" } : exec.run("bridge", ["-j", "fdb", "show"]),
    readTables(exec, vxlans.keys()),
    readNamespaces(),
  ]);
  const routes = parseRoutes([...four.routes, ...six.routes]);
  const permanent = [...four.neighbours, ...six.neighbours];
  return {
    dataPlane: {
      ...emptyDataPlane,
      table: tables.table,
      guard: tables.guard,
      elements: tables.elements,
      links: vxlans,
      subnets: routes.subnets,
      gateways: parseGateways(links, [...routes.subnets].map(parseSubnet)),
      hops: parseHops(links),
      neighbours: new Map(
        permanent
          .filter(onDevice)
          .map((entry) => [
            `${text(entry, "dst")} dev ${text(entry, "dev")}`,
            text(entry, "lladdr"),
          ]),
      ),
      fdb: parseFdb(fdb.stdout),
      routes: PartedMap.from(routes.remote),
      backRoutes: routes.back,
      rules: parseRules(four.rules),
      rules6: parseRules(six.rules),
      sysctls: await readSysctls(wantedSysctls({ advertised: [] }, devices, ipv6).keys()),
    },
    mtuOfAddress: parseMtus(links),
    veths: await readVeths(links, routes.local, permanent),
    namespaces,
    hostSubnets: routes.host,
    ipv6,
    advertised: advertised ?? [],
    ruleset: tables.ruleset,
  };
}

/** Priorities of the rules in a task's namespace. */
export async function readRulePriorities(exec: Exec, taskId: string): Promise<ReadonlySet<string>> {
  const shown = await Promise.all(
    ["-4", "-6"].map((family) => exec.run("ip", ["-n", taskId, family, "-j", "rule", "show"])),
  );
  return new Set(
    shown.flatMap(({ stdout }, index) =>
      parseRecords(stdout).map((rule) => `${index === 0 ? 4 : 6} ${number(rule, "priority")}`),
    ),
  );
}

async function readNamespaces(): Promise<ReadonlySet<string>> {
  try {
    return new Set((await readdir(namespaceRoot)).filter(isId));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Set();
    throw Fault.wrap(`Cannot list the namespaces in "${namespaceRoot}"`, error);
  }
}

/** In one process, which prints a list in a line for each; they are told apart by what their kind alone has. */
async function readFamily(exec: Exec, family: "-4" | "-6") {
  const input = "route show table all\nrule show\nneigh show nud permanent\n";
  const { stdout } = await exec.run("ip", [family, "-N", "-j", "-batch", "-"], { input });
  const records = stdout.split("\n").flatMap((line) => parseRecords(line));
  const { routes, rules, neighbours } = Object.groupBy(records, (record) => {
    if ("priority" in record) return "rules";
    return "lladdr" in record ? "neighbours" : "routes";
  });
  return { routes: routes ?? [], rules: rules ?? [], neighbours: neighbours ?? [] };
}

function parseRoutes(shown: readonly JsonObject[]) {
  const subnets = new Set<string>();
  const remote: [string, string][] = [];
  const local = new Map<string, JsonObject[]>();
  const host: Subnet[] = [];
  const back = new Set<string>();
  for (const route of shown) {
    const destination = text(route, "dst");
    const device = text(route, "dev");
    const table = text(route, "table");
    if (table !== "") {
      if (onDevice(route) && table === String(backTableOf[device as Device])) {
        back.add(`${destination} via ${text(route, "gateway")} dev ${device} table ${table}`);
      }
    } else if (Number(route["protocol"]) === routeProtocol) subnets.add(destination);
    else if (onDevice(route)) {
      // The kernel's own routes of the device lead to no task.
      if (isHost(destination)) remote.push([destination, wayOf(route)]);
    } else if (isTaskLink(device)) local.set(device, [...(local.get(device) ?? []), route]);
    else if (isAddress(destination)) host.push(parseSubnet(`${destination}/32`));
    else if (destination !== "default" && !destination.includes(":")) {
      host.push(parseSubnet(destination));
    }
  }
  return { subnets, remote, local, host, back };
}

function wayOf(route: JsonObject): string {
  const source = text(route, "prefsrc");
  const way = `via ${text(route, "gateway")} dev ${text(route, "dev")}`;
  return source === "" ? way : `${way} src ${source}`;
}

function onDevice(record: JsonObject): boolean {
  return devices.some((device) => device === record["dev"]);
}

function isHost(destination: string): boolean {
  return isAddress(destination) || isAddress6(destination);
}

function isTaskLink(device: string): boolean {
  return device.startsWith(vethPrefix);
}

/** As `ip -N` names it. */
const mainTable = "254";

function parseRules(records: readonly JsonObject[]): ReadonlySet<string> {
  const own = records.filter((rule) => Number(rule["protocol"]) === routeProtocol);
  return new Set(
    own.map((rule) => {
      const iif = text(rule, "iif");
      const mark = text(rule, "fwmark");
      const table = text(rule, "table");
      const from = iif === "" ? "" : ` iif ${iif}`;
      const marked = mark === "" ? "" : ` fwmark ${mark}/${text(rule, "fwmask")}`;
      return `pref ${number(rule, "priority")}${from}${marked} lookup ${table === mainTable ? "main" : table}`;
    }),
  );
}

function parseFdb(json: string): ReadonlyMap<string, string> {
  const entries = parseRecords(json).filter((entry) =>
    devices.some((device) => device === entry["ifname"]),
  );
  return new Map(
    entries.map((entry) => [
      `${text(entry, "mac")} dev ${text(entry, "ifname")}`,
      text(entry, "dst"),
    ]),
  );
}

async function readSysctls(paths: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (const path of paths) {
    const value = await readSysctl(path);
    if (value !== undefined) values.set(path, value);
  }
  return values;
}

/** Undefined: there is no such device yet. */
async function readSysctl(path: string): Promise<string | undefined> {
  try {
    return (await readFile(`${sysctlRoot}/${path}`, "utf8")).trim();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot read sysctl "${path}"`, error);
  }
}

/** Undefined: this kernel has no IPv6, or its administrator has switched it off: addresses would be refused. */
async function readAdvertised(): Promise<readonly string[] | undefined> {
  const folder = `${sysctlRoot}/ipv6/conf`;
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot list "${folder}"`, error);
  }
  for (const name of ["default", "lo"]) {
    if ((await readSysctl(`ipv6/conf/${name}/disable_ipv6`)) !== "0") return undefined;
  }
  if ((await readSysctl("ipv6/conf/all/forwarding")) !== "0") return [];
  const advertised: string[] = [];
  for (const name of names) {
    const own = ["all", "default", "lo"].includes(name) || isTaskLink(name);
    if (own || devices.some((device) => device === name)) continue;
    if ((await readSysctl(`ipv6/conf/${name}/accept_ra`)) === "1") advertised.push(name);
  }
  return advertised;
}

function parseVxlans(links: readonly JsonObject[]): ReadonlyMap<Device, VxlanLink> {
  const found = new Map<Device, VxlanLink>();
  for (const device of devices) {
    const link = links.find((each) => each["ifname"] === device);
    if (link !== undefined) found.set(device, parseVxlan(link));
  }
  return found;
}

function parseVxlan(link: JsonObject): VxlanLink {
  const info = isRecord(link["linkinfo"]) ? link["linkinfo"]["info_data"] : undefined;
  const data = isRecord(info) ? info : {};
  // A device of our name that is something else has other values, and so is made anew.
  return {
    vni: Number(data["id"]),
    port: Number(data["port"]),
    local: String(data["local"]),
    mac: text(link, "address"),
    mtu: isUp(link) ? number(link, "mtu") : 0,
  };
}

function isUp(link: JsonObject): boolean {
  return Array.isArray(link["flags"]) && link["flags"].includes("UP");
}

async function readVeths(
  links: readonly JsonObject[],
  routes: ReadonlyMap<string, readonly JsonObject[]>,
  neighbours: readonly JsonObject[],
): Promise<ReadonlyMap<string, Veth>> {
  const veths = new Map<string, Veth>();
  const ofDevice = Map.groupBy(neighbours, (entry) => text(entry, "dev"));
  for (const link of links) {
    const name = text(link, "ifname");
    if (!isTaskLink(name) || link["address"] !== gatewayMac) continue;
    const own = (routes.get(name) ?? []).filter((route) => isHost(text(route, "dst")));
    const near = ofDevice.get(name) ?? [];
    const switches = await readSysctls(linkSysctls.map((each) => `ipv4/conf/${name}/${each}`));
    veths.set(name, {
      addresses: own.map((route) => text(route, "dst")),
      facts: new Set([
        ...(isUp(link) ? [`up mtu ${number(link, "mtu")}`] : []),
        ...own.map((route) => `route ${text(route, "dst")} src ${text(route, "prefsrc")}`),
        ...near.map((entry) => `neigh ${text(entry, "dst")} ${text(entry, "lladdr")}`),
        ...linkSysctls.filter((each) => switches.get(`ipv4/conf/${name}/${each}`) === "1"),
      ]),
    });
  }
  return veths;
}

function addressesOf(link: JsonObject, family: "inet" | "inet6"): readonly JsonObject[] {
  const all = Array.isArray(link["addr_info"]) ? link["addr_info"] : [];
  return all.filter(isRecord).filter((address) => address["family"] === family);
}

function parseMtus(links: readonly JsonObject[]): ReadonlyMap<string, number> {
  return new Map(
    links.flatMap((link) =>
      addressesOf(link, "inet").map(
        (address) => [text(address, "local"), number(link, "mtu")] as const,
      ),
    ),
  );
}

function parseHops(links: readonly JsonObject[]): ReadonlySet<string> {
  const ours = links.filter((link) => devices.some((device) => device === link["ifname"]));
  const found = ours.flatMap((link) =>
    addressesOf(link, "inet6").map(
      (one) => `${text(one, "local")}/${number(one, "prefixlen")} dev ${text(link, "ifname")}`,
    ),
  );
  return new Set(found);
}

function parseGateways(
  links: readonly JsonObject[],
  subnets: readonly Subnet[],
): ReadonlySet<string> {
  const loopback = links.filter((link) => link["ifname"] === "lo");
  const inet = loopback
    .flatMap((link) => addressesOf(link, "inet"))
    .filter((address) => address["prefixlen"] === 32 && address["scope"] === "link");
  const inet6 = loopback
    .flatMap((link) => addressesOf(link, "inet6"))
    .filter((address) => address["prefixlen"] === 128 && address["scope"] === "global");
  const found = [...inet, ...inet6].map((address) => text(address, "local"));
  return new Set(found.filter((address) => subnets.some((subnet) => holds(subnet, address))));
}
