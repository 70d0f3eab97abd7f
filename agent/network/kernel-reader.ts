/**
 * Reads what stands in this network namespace: the picture of our own objects, and what of the host's own the driver
 * needs to know. Only asked on open and after an error: between, the driver remembers what it has written.
 */
import { readdir, readFile } from "node:fs/promises";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import { gatewayMac } from "./attachment.ts";
import {
  type DataPlane,
  emptyDataPlane,
  type SetName,
  setNames,
  type VxlanLink,
  wantedSysctls,
} from "./data-plane.ts";
import { isAddress } from "#proto/ipv4.ts";
import { contains, parseSubnet } from "./subnet.ts";
import { routeProtocol } from "./plan.ts";
import type { RulesetOptions } from "./ruleset.ts";

/** Where `ip netns` keeps its names; not a choice of ours. */
export const namespaceRoot = "/run/netns";

export interface Kernel {
  readonly dataPlane: DataPlane;
  /** IPv4 addresses of the host's interfaces → MTU of the interface. */
  readonly mtuOfAddress: ReadonlyMap<string, number>;
  /** Host sides of tasks' links → the task's address, where its route stands. */
  readonly veths: ReadonlyMap<string, string | undefined>;
  /** Tasks with a namespace. */
  readonly namespaces: ReadonlySet<string>;
}

export async function readKernel(exec: Exec, options: RulesetOptions): Promise<Kernel> {
  const links = parseRecords((await exec.run("ip", ["-j", "-d", "addr", "show"])).stdout);
  const vxlan = links.filter((link) => link["ifname"] === options.device).map(parseVxlan)[0];
  const [routes, peers, tables, sysctls, namespaces] = await Promise.all([
    readRoutes(exec, options),
    vxlan === undefined ? noPeers : readPeers(exec, options),
    readTables(exec),
    readSysctls(options),
    readNamespaces(),
  ]);
  const subnets = [...routes.subnets].map(parseSubnet);
  const gateways = loopbackAddresses(links).filter((address) =>
    subnets.some((subnet) => contains(subnet, address)),
  );
  return {
    dataPlane: {
      ...emptyDataPlane,
      ...peers,
      ...tables,
      vxlan,
      subnets: routes.subnets,
      gateways: new Set(gateways),
      routes: routes.remote,
      sysctls,
    },
    mtuOfAddress: parseMtus(links),
    veths: new Map(
      links
        .filter(isVeth)
        .map((link) => [text(link, "ifname"), routes.local.get(text(link, "ifname"))]),
    ),
    namespaces,
  };
}

/** Priorities of the rules in a task's namespace. */
export async function readRulePriorities(exec: Exec, taskId: string): Promise<ReadonlySet<number>> {
  const { stdout } = await exec.run("ip", ["-n", taskId, "-j", "rule", "show"]);
  return new Set(parseRecords(stdout).map((rule) => number(rule, "priority")));
}

export async function readNamespaces(): Promise<ReadonlySet<string>> {
  try {
    return new Set((await readdir(namespaceRoot)).filter(isId));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Set();
    throw Fault.wrap(`Cannot list the namespaces in "${namespaceRoot}"`, error);
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

async function readRoutes(exec: Exec, { device }: RulesetOptions) {
  const { stdout } = await exec.run("ip", ["-4", "-N", "-j", "route", "show", "table", "main"]);
  const subnets = new Set<string>();
  const remote = new Map<string, string>();
  const local = new Map<string, string>();
  for (const route of parseRecords(stdout)) {
    const destination = text(route, "dst");
    if (Number(route["protocol"]) === routeProtocol) subnets.add(destination);
    if (!isAddress(destination)) continue;
    const target = route["dev"];
    if (target === device) {
      remote.set(destination, `via ${text(route, "gateway")} src ${text(route, "prefsrc")}`);
    } else if (typeof target === "string") local.set(target, destination);
  }
  return { subnets, remote, local };
}

type Peers = Pick<DataPlane, "neighbours" | "fdb">;

const noPeers: Peers = { neighbours: new Map(), fdb: new Map() };

async function readPeers(exec: Exec, { device }: RulesetOptions): Promise<Peers> {
  const [neighbours, fdb] = await Promise.all([
    exec.run("ip", ["-4", "-j", "neigh", "show", "dev", device, "nud", "permanent"]),
    exec.run("bridge", ["-j", "fdb", "show", "dev", device]),
  ]);
  return {
    neighbours: new Map(
      parseRecords(neighbours.stdout).map((entry) => [text(entry, "dst"), text(entry, "lladdr")]),
    ),
    fdb: new Map(parseRecords(fdb.stdout).map((entry) => [text(entry, "mac"), text(entry, "dst")])),
  };
}

type Tables = Pick<DataPlane, "table" | "guard" | "sets">;

async function readTables(exec: Exec): Promise<Tables> {
  const [inet, netdev] = await Promise.all([readTable(exec, "inet"), readTable(exec, "netdev")]);
  const sets = Object.fromEntries(
    setNames.map((name) => [name, elementsOf(inet.entries, name)]),
  ) as Record<SetName, ReadonlySet<string>>;
  // An old kernel takes the chain away with its device, a new one hangs it on the next device of the name.
  const guard = netdev.version === undefined || netdev.hooked ? netdev.version : "loose";
  return { table: inet.version, guard, sets };
}

interface Table {
  readonly version: string | undefined;
  /** Has a chain that hangs on a device. */
  readonly hooked: boolean;
  readonly entries: readonly JsonObject[];
}

// nft's JSON leaves comments of tables and devices of chains out, so the text is read as well. A table that is not there is an error
// to nft, with a message in words: look at the list of tables first.
async function readTable(exec: Exec, family: "inet" | "netdev"): Promise<Table> {
  const { stdout: tables } = await exec.run("nft", ["-j", "list", "tables", family]);
  const named = parseNft(tables).some(
    (entry) => isRecord(entry["table"]) && entry["table"]["name"] === "swarm",
  );
  if (!named) return { version: undefined, hooked: false, entries: [] };
  const [json, terse] = await Promise.all([
    exec.run("nft", ["-j", "list", "table", family, "swarm"]),
    exec.run("nft", ["-t", "list", "table", family, "swarm"]),
  ]);
  const version = /^\tcomment "([0-9a-f]+)"$/m.exec(terse.stdout)?.[1] ?? "unknown";
  const hooked = terse.stdout.includes("hook egress device");
  return { version, hooked, entries: parseNft(json.stdout) };
}

function elementsOf(entries: readonly JsonObject[], name: SetName): ReadonlySet<string> {
  const set = entries
    .map((entry) => entry["set"])
    .find((entry) => isRecord(entry) && entry["name"] === name);
  const elements = isRecord(set) && Array.isArray(set["elem"]) ? set["elem"] : [];
  return new Set(elements.map(parseElement));
}

function parseElement(element: unknown): string {
  if (typeof element === "string") return element;
  if (isRecord(element) && Array.isArray(element["concat"])) {
    return element["concat"].map(parseElement).join(" . ");
  }
  if (isRecord(element) && isRecord(element["prefix"])) {
    return `${text(element["prefix"], "addr")}/${number(element["prefix"], "len")}`;
  }
  throw unexpected("an element of a set", element);
}

async function readSysctls(options: RulesetOptions): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (const path of wantedSysctls(options).keys()) {
    try {
      values.set(path, (await readFile(`/proc/sys/net/${path}`, "utf8")).trim());
    } catch (error) {
      // The device is not there yet.
      if (errnoOf(error) !== "ENOENT") throw Fault.wrap(`Cannot read sysctl "${path}"`, error);
    }
  }
  return values;
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

function isVeth(link: JsonObject): boolean {
  return text(link, "ifname").startsWith("v-") && link["address"] === gatewayMac;
}

function inetAddresses(link: JsonObject): readonly JsonObject[] {
  const all = Array.isArray(link["addr_info"]) ? link["addr_info"] : [];
  return all.filter(isRecord).filter((address) => address["family"] === "inet");
}

function parseMtus(links: readonly JsonObject[]): ReadonlyMap<string, number> {
  return new Map(
    links.flatMap((link) =>
      inetAddresses(link).map((address) => [text(address, "local"), number(link, "mtu")] as const),
    ),
  );
}

function loopbackAddresses(links: readonly JsonObject[]): readonly string[] {
  return links
    .filter((link) => link["ifname"] === "lo")
    .flatMap(inetAddresses)
    .filter((address) => address["prefixlen"] === 32 && address["scope"] === "link")
    .map((address) => text(address, "local"));
}

function parseNft(json: string): readonly JsonObject[] {
  const parsed: unknown = JSON.parse(json);
  if (!isRecord(parsed) || !Array.isArray(parsed["nftables"]))
    throw unexpected("nft's list", parsed);
  return parsed["nftables"].filter(isRecord);
}

/** iproute2 prints nothing at all where there is nothing to show, and `{}` for what a filter left out. */
function parseRecords(json: string): readonly JsonObject[] {
  if (json.trim() === "") return [];
  const parsed: unknown = JSON.parse(json);
  if (!Array.isArray(parsed)) throw unexpected("a list of iproute2", parsed);
  return parsed.filter(isRecord).filter((record) => Object.keys(record).length > 0);
}

function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(record: JsonObject, key: string): string {
  const value = record[key];
  return typeof value === "string" ? value : "";
}

function number(record: JsonObject, key: string): number {
  const value = record[key];
  if (typeof value !== "number") throw unexpected(`"${key}"`, record);
  return value;
}

function unexpected(what: string, value: unknown): Fault {
  return new Fault(
    "internal",
    `Cannot understand ${what}: ${JSON.stringify(value)?.slice(0, 200)}`,
  );
}
