/**
 * What the fast path's map holds: for each address of a task, where its packets go and come from. Places are taken from
 * what the rules are made of, so that the shortcut allows nothing that they refuse. Values are the bytes of `struct place`
 * in fastpath.bpf.c, as bpftool writes them: "0a 4d 01 0b". Pure.
 */
import { Fault } from "#proto/fault.ts";
import {
  formatAddress,
  isAddress,
  lastAddress,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "#proto/ipv4.ts";
import { taskMac } from "../attachment.ts";
import type { DataPlane } from "../data-plane.ts";
import { gatewayMac, plainDevice } from "../devices.ts";

export interface Place {
  /** A task of this host: its veth; of another host: the VXLAN device. */
  readonly device: string;
  /** First address of its network; packets pass only inside one. */
  readonly network: number;
  readonly local: boolean;
  /** The MACs to send with. */
  readonly to: string;
  readonly from: string;
}

/** Address of a task → its place. */
export type Places = ReadonlyMap<string, Place>;

/** The map's; more tasks go the slow way. */
const placesMax = 65_536;

/** Of a route: next hop and device, as in the list of neighbours. */
const plainWay = new RegExp(`^via (\\S+ dev ${plainDevice}) `);

const addressBytes = 4;
const valueBytes = 24;

export const noPlaces: Places = new Map();

/**
 * `veths`: host side of a task's link → the task's addresses there. Of networks whose tasks reach each other, and not
 * through an encrypted link; the ingress network is none.
 */
export function placesOf(
  dataPlane: DataPlane,
  veths: ReadonlyMap<string, readonly string[]>,
): Places {
  const { elements } = dataPlane;
  const pairs = [...elements.samenet.keys()].map((pair) => pair.split(" . ")[0] ?? "");
  const subnets = pairs.filter((subnet) => !elements.secret.has(subnet));
  const networkOf = finder(subnets.map(parseSubnet));
  const places = new Map<string, Place>();
  const add = (address: string, place: Omit<Place, "network">) => {
    const network = networkOf(parseAddress(address));
    if (network !== undefined && places.size < placesMax)
      places.set(address, { ...place, network });
  };
  for (const [device, addresses] of veths) {
    for (const address of addresses.filter(isAddress)) {
      add(address, { device, local: true, to: taskMac(address), from: gatewayMac });
    }
  }
  const from = dataPlane.links.get(plainDevice)?.mac;
  if (from === undefined) return places;
  for (const [address, way] of dataPlane.routes) {
    const [, hop] = plainWay.exec(way) ?? [];
    const to = hop === undefined ? undefined : dataPlane.neighbours.get(hop);
    // A task that is here is not elsewhere.
    if (to !== undefined && isAddress(address) && !places.has(address)) {
      add(address, { device: plainDevice, local: false, to, from });
    }
  }
  return places;
}

/** Address → value; without what hangs on a device that is not there. `devices`: name → index. */
export function encodePlaces(
  places: Places,
  devices: ReadonlyMap<string, number>,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [address, place] of places) {
    const index = devices.get(place.device);
    if (index !== undefined) values.set(address, encodeValue(place, index));
  }
  return values;
}

/** What must go before anything else happens: what is not, or not so, in `wanted`. */
export function planRetire(
  actual: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): readonly string[] {
  return [...actual].flatMap(([address, value]) =>
    wanted.get(address) === value ? [] : [address],
  );
}

export function planEnlist(
  actual: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): readonly (readonly [string, string])[] {
  return [...wanted].filter(([address, value]) => actual.get(address) !== value);
}

export function encodeKey(address: string): string {
  const bytes = Buffer.alloc(addressBytes);
  bytes.writeUInt32BE(parseAddress(address));
  return hex(bytes);
}

/** What `bpftool -j map dump` prints. */
export function parseDump(json: string): ReadonlyMap<string, string> {
  const parsed = parseJson(json);
  if (!Array.isArray(parsed)) throw unexpected();
  return new Map(parsed.map(parseEntry));
}

function parseEntry(entry: unknown): readonly [string, string] {
  if (typeof entry !== "object" || entry === null) throw unexpected();
  const { key, value } = entry as { readonly key?: unknown; readonly value?: unknown };
  const address = formatAddress(parseBytes(key, addressBytes).readUInt32BE());
  return [address, hex(parseBytes(value, valueBytes))];
}

function parseBytes(texts: unknown, count: number): Buffer {
  if (!Array.isArray(texts) || texts.length !== count) throw unexpected();
  const isByte = (text: unknown) => typeof text === "string" && /^0x[0-9a-f]{2}$/.test(text);
  if (!texts.every(isByte)) throw unexpected();
  return Buffer.from(texts.map(Number));
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Fault("internal", "Cannot understand bpftool's dump of a map", { cause: error });
  }
}

function unexpected(): Fault {
  return new Fault("internal", "Cannot understand bpftool's dump of a map");
}

function encodeValue(place: Place, deviceIndex: number): string {
  const bytes = Buffer.alloc(valueBytes);
  bytes.writeUInt32LE(deviceIndex, 0);
  bytes.writeUInt32BE(place.network, 4);
  bytes.writeUInt32LE(place.local ? 1 : 0, 8);
  bytes.write(place.to.replaceAll(":", ""), 12, "hex");
  bytes.write(place.from.replaceAll(":", ""), 18, "hex");
  return hex(bytes);
}

function hex(bytes: Buffer): string {
  return bytes.toString("hex").replace(/..(?=.)/g, "$& ");
}

/** First address of the subnet that holds an address. Subnets of one host do not overlap. */
function finder(subnets: readonly Subnet[]): (address: number) => number | undefined {
  const sorted = subnets.toSorted((a, b) => a.base - b.base);
  return (address) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle]?.base ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    const found = sorted[low - 1];
    return found !== undefined && address <= lastAddress(found) ? found.base : undefined;
  };
}
