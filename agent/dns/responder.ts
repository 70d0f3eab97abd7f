/**
 * What the cluster answers itself, and what only others could know. Addresses of a name are encoded when they are first asked
 * for, and shuffled for each answer.
 */
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { PortProtocol } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  encodeRecord,
  encodeService,
  type Query,
  recordType,
  type Reply,
  responseCode,
} from "./message.ts";
import type { Shuffler } from "./shuffler.ts";
import { addressOfReverseName, encodeName, textOfName } from "./wire-name.ts";
import type { Target } from "./zone-network.ts";
import type { View } from "./zone.ts";

/** Short: a task that left must not be asked for long. */
const ttlSeconds = 5;

/** More answers than any message can carry need no order: the shortest takes 16 bytes. */
const shuffledMax = 4_096;

export const noName: Reply = { code: responseCode.noSuchName, answers: [] };
export const serverFailure: Reply = { code: responseCode.serverFailure, answers: [] };
const noRecords: Reply = { code: responseCode.noError, answers: [] };

interface Addresses {
  readonly a: Buffer[];
  readonly aaaa: Buffer[];
}

export class Responder {
  readonly #shuffler: Shuffler;
  readonly #addresses = new WeakMap<readonly Target[], Addresses>();

  constructor(shuffler: Shuffler) {
    this.#shuffler = shuffler;
  }

  reply(view: View, query: Query, bytesMax: number): Reply | "forward" {
    const text = textOfName(query.name);
    const targets = view.find(text);
    if (targets !== undefined) return this.#addressReply(targets, query.type, bytesMax);
    const address = addressOfReverseName(text);
    if (address !== undefined) return reverseReply(view, address, query.type);
    return this.#serviceReply(view, text, query.type) ?? "forward";
  }

  #addressesOf(targets: readonly Target[]): Addresses {
    const known = this.#addresses.get(targets);
    if (known !== undefined) return known;
    const addresses = {
      a: recordsOf(targets.map(({ address }) => address)),
      aaaa: recordsOf(targets.map(({ address6 }) => address6)),
    };
    this.#addresses.set(targets, addresses);
    return addresses;
  }

  #addressReply(targets: readonly Target[], type: number, bytesMax: number): Reply {
    const { a, aaaa } = this.#addressesOf(targets);
    // To "any" one kind of records is enough (RFC 8482).
    const wanted = type === recordType.any ? (a.length > 0 ? a : aaaa) : undefined;
    const answers = wanted ?? (type === recordType.a ? a : type === recordType.aaaa ? aaaa : []);
    if (answers.length === 0) return noRecords;
    this.#shuffler.shuffle(answers, Math.min(shuffledMax, bytesMax >> 4));
    return { code: responseCode.noError, answers };
  }

  /** `_http._tcp.web` by the name of a published port, `_80._tcp.tasks.web` by its number. */
  #serviceReply(view: View, text: string, type: number): Reply | undefined {
    const match = /^_([^.]+)\._(tcp|udp|sctp)\.(.+)$/.exec(text);
    const [, port = "", protocol = "", name = ""] = match ?? [];
    const targets = match === null ? undefined : view.find(name);
    if (targets === undefined) return undefined;
    const found = targets.flatMap((target) =>
      portsOf(view, target, { port, protocol }).map((number) => ({ target, number })),
    );
    if (found.length === 0) return noName;
    if (type !== recordType.srv && type !== recordType.any) return noRecords;
    this.#shuffler.shuffle(found, shuffledMax);
    const answers = found.flatMap(({ target, number }) => {
      const data = encodeService(number, target.name);
      return data === undefined ? [] : [encodeRecord({ type: recordType.srv, ttlSeconds, data })];
    });
    const additionals = [...new Set(found.map(({ target }) => target))].flatMap(addressRecordsOf);
    return { code: responseCode.noError, answers, additionals };
  }
}

/** Of names for addresses of the cluster nobody outside knows anything. */
function reverseReply(view: View, address: string, type: number): Reply | "forward" {
  const known = view.nameAt(address);
  if (known === "elsewhere") return "forward";
  if (known === "nobody") return noName;
  const data = encodeName(known.name);
  if (data === undefined || (type !== recordType.ptr && type !== recordType.any)) return noRecords;
  const answers = [encodeRecord({ type: recordType.ptr, ttlSeconds, data })];
  return { code: responseCode.noError, answers };
}

const protocolNames: Readonly<Record<PortProtocol, string>> = {
  [PortProtocol.TCP]: "tcp",
  [PortProtocol.UDP]: "udp",
  [PortProtocol.SCTP]: "sctp",
};

function portsOf(
  view: View,
  { serviceId }: Target,
  { port, protocol }: { readonly port: string; readonly protocol: string },
): readonly number[] {
  if (/^\d{1,5}$/.test(port)) return Number(port) <= 0xffff ? [Number(port)] : [];
  const named = view
    .portsOf(serviceId)
    .filter((one) => one.name.toLowerCase() === port && protocolNames[one.protocol] === protocol);
  return [...new Set(named.map(({ targetPort }) => targetPort))];
}

function recordsOf(addresses: readonly string[]): Buffer[] {
  return [...new Set(addresses)].flatMap((address) => addressRecord(address) ?? []);
}

/** Undefined: there is no address, or what came is none. */
function addressRecord(address: string, owner?: Buffer): Buffer | undefined {
  const parts = { ...(owner && { owner }), ttlSeconds };
  if (isIPv4(address)) {
    const data = Buffer.from(address.split(".").map(Number));
    return encodeRecord({ ...parts, type: recordType.a, data });
  }
  if (!isIPv6(address) || address.includes("%")) return undefined;
  const data = Buffer.from(ipaddr.IPv6.parse(address).toByteArray());
  return encodeRecord({ ...parts, type: recordType.aaaa, data });
}

function addressRecordsOf({ name, address, address6 }: Target): readonly Buffer[] {
  const owner = encodeName(name);
  if (owner === undefined) return [];
  return [address, address6].flatMap((text) => addressRecord(text, owner) ?? []);
}
