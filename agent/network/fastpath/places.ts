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
import { Last } from "../list-changes.ts";
import { deriving, type Part, PartedMap } from "../parted-map.ts";

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
export type Places = PartedMap<Place>;

/** The map's; more tasks go the slow way. */
const placesMax = 65_536;

/** Of a route: next hop and device, as in the list of neighbours. */
const plainWay = new RegExp(`^via (\\S+ dev ${plainDevice}) `);

const addressBytes = 4;
const valueBytes = 24;
const macBytes = 6;

export const noPlaces: Places = PartedMap.from<Place>([]);

/** Of the same networks and neighbours, the same parts of routes lead to the same places. */
export class PlacesMemory {
  readonly remote = new Last<(routes: PartedMap<string>) => Places>();
}

/**
 * `veths`: host side of a task's link → the task's addresses there. Of networks whose tasks reach each other, and not
 * through an encrypted link; the ingress network is none.
 */
export function placesOf(
  { elements, links, neighbours, routes }: DataPlane,
  veths: ReadonlyMap<string, readonly string[]>,
  memory: PlacesMemory = new PlacesMemory(),
): Places {
  const pairs = [...elements.samenet.keys()].map((pair) => pair.split(" . ")[0] ?? "");
  const subnets = pairs.filter((subnet) => !elements.secret.has(subnet));
  const from = links.get(plainDevice)?.mac;
  const remoteOf = memory.remote.of([subnets, [from], [...neighbours].flat()], () => {
    const networkOf = finder(subnets.map(parseSubnet));
    return deriving((address: string, way: string) => {
      const [, hop] = plainWay.exec(way) ?? [];
      const to = hop === undefined ? undefined : neighbours.get(hop);
      if (from === undefined || to === undefined || !isAddress(address)) return undefined;
      const network = networkOf(parseAddress(address));
      return network === undefined
        ? undefined
        : { device: plainDevice, network, local: false, to, from };
    });
  });
  // A task that is here is not elsewhere.
  const places = remoteOf(routes).with([], localPlaces(subnets, veths));
  return places.size <= placesMax ? places : PartedMap.from([...places].slice(0, placesMax));
}

function localPlaces(
  subnets: readonly string[],
  veths: ReadonlyMap<string, readonly string[]>,
): readonly (readonly [string, Place])[] {
  const networkOf = finder(subnets.map(parseSubnet));
  const places: [string, Place][] = [];
  for (const [device, addresses] of veths) {
    for (const address of addresses.filter(isAddress)) {
      const network = networkOf(parseAddress(address));
      const macs = { to: taskMac(address), from: gatewayMac };
      if (network !== undefined) places.push([address, { device, network, local: true, ...macs }]);
    }
  }
  return places;
}

/** What was encoded before. */
export class EncodingMemory {
  readonly parts = new WeakMap<Part<Place>, Encoded>();
}

interface Encoded {
  /** Of the places' devices, as they were; undefined: not there. */
  readonly indices: ReadonlyMap<string, number | undefined>;
  readonly values: Part<string>;
}

/** Address → value; without what hangs on a device that is not there. `devices`: name → index. */
export function encodePlaces(
  places: Places,
  devices: ReadonlyMap<string, number>,
  { parts }: EncodingMemory = new EncodingMemory(),
): PartedMap<string> {
  return places.map((part) => {
    const before = parts.get(part);
    const holds = before !== undefined && areSame(before.indices, devices);
    const encoded = holds ? before : encodePart(part, devices);
    parts.set(part, encoded);
    return encoded.values;
  });
}

function areSame(
  indices: ReadonlyMap<string, number | undefined>,
  devices: ReadonlyMap<string, number>,
): boolean {
  for (const [name, index] of indices) if (devices.get(name) !== index) return false;
  return true;
}

function encodePart(part: Part<Place>, devices: ReadonlyMap<string, number>): Encoded {
  const indices = new Map<string, number | undefined>();
  const values = new Map<string, string>();
  for (const [address, place] of part) {
    const index = devices.get(place.device);
    indices.set(place.device, index);
    if (index !== undefined) values.set(address, encodeValue(place, index));
  }
  return { indices, values };
}

/** Those of encoded places that are there. */
export function devicesOf(places: Places, { parts }: EncodingMemory): ReadonlySet<string> {
  const names = new Set<string>();
  for (const part of places.parts) {
    for (const [name, index] of parts.get(part)?.indices ?? []) {
      if (index !== undefined) names.add(name);
    }
  }
  return names;
}

/** What must go before anything else happens: what is not, or not so, in `wanted`. */
export function planRetire(
  actual: PartedMap<string>,
  wanted: PartedMap<string>,
): readonly string[] {
  return [...actual.notIn(wanted)].map(([address]) => address);
}

export function planEnlist(
  actual: PartedMap<string>,
  wanted: PartedMap<string>,
): readonly (readonly [string, string])[] {
  return [...wanted.notIn(actual)];
}

export function encodeKey(address: string): string {
  const bytes = Buffer.alloc(addressBytes);
  bytes.writeUInt32BE(parseAddress(address));
  return hex(bytes);
}

const bytesPattern = /^0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*$/;

/** What `bpftool -j map dump` prints. */
export function parseDump(json: string): PartedMap<string> {
  const parsed = parseJson(json);
  if (!Array.isArray(parsed)) throw unexpected();
  return PartedMap.from(parsed.map(parseEntry));
}

function parseEntry(entry: unknown): readonly [string, string] {
  if (typeof entry !== "object" || entry === null) throw unexpected();
  const { key, value } = entry as { readonly key?: unknown; readonly value?: unknown };
  const address = formatAddress(
    Number.parseInt(parseBytes(key, addressBytes).replaceAll(" ", ""), 16),
  );
  return [address, parseBytes(value, valueBytes)];
}

/** As `hex` writes them. All at once: tens of thousands of entries are looked through in one stretch. */
function parseBytes(texts: unknown, count: number): string {
  if (!Array.isArray(texts) || texts.length !== count) throw unexpected();
  const text = texts.join(" ");
  if (text.length !== count * "0x00 ".length - 1 || !bytesPattern.test(text)) throw unexpected();
  return text.replaceAll("0x", "");
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

function encodeValue({ network, local, to, from }: Place, deviceIndex: number): string {
  const bytes = Buffer.alloc(valueBytes - 2 * macBytes);
  bytes.writeUInt32LE(deviceIndex, 0);
  bytes.writeUInt32BE(network, 4);
  bytes.writeUInt32LE(local ? 1 : 0, 8);
  return `${hex(bytes)} ${to.replaceAll(":", " ")} ${from.replaceAll(":", " ")}`;
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
