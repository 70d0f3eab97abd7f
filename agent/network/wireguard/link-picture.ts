/**
 * A picture of the encrypted link as it stands in the kernel, or as it is wanted. Pure. Values are the texts that `wg`
 * and `ip` print and take.
 */
import { Fault } from "#proto/fault.ts";
import { parseAnnounced } from "./announced-key.ts";
import {
  encryptedAddress,
  encryptionDevice,
  encryptionOverheadBytes,
  encryptionPort,
  encryptionRange,
} from "./addresses.ts";
import type { EncryptionState } from "./encryption.ts";

export interface LinkPicture {
  /** Empty: none is set. */
  readonly publicKey: string;
  readonly port: number;
  /** 0: the link is down. */
  readonly mtu: number;
  readonly addresses: ReadonlySet<string>;
  /** By public key. */
  readonly peers: ReadonlyMap<string, LinkPeer>;
}

export interface LinkPeer {
  /** ADDRESS:PORT; empty: not known. */
  readonly endpoint: string;
  /** "ADDRESS/32"; empty: it may send nothing but handshakes. */
  readonly allowedIps: string;
}

/** All that stands of ours: the link and the routes that lead into it. */
export interface EncryptionPicture {
  readonly link: LinkPicture | undefined;
  /** In place of the link there is a device that nobody carries. */
  readonly remains: boolean;
  /** As `ip route` takes them. */
  readonly routes: ReadonlySet<string>;
}

export const emptyPicture: EncryptionPicture = {
  link: undefined,
  remains: false,
  routes: new Set(),
};

/** Public key → when it was last shaken hands with, in seconds since 1970; 0: never. */
export type Handshakes = ReadonlyMap<string, number>;

/** Behind the link's own route: when the link is gone, nothing leaks to the LAN. */
export const closedRoute = `unreachable ${encryptionRange} metric 4096`;

export function wantedPicture(
  state: EncryptionState,
  publicKey: string,
  handshakes: Handshakes,
): EncryptionPicture {
  if (!state.wanted) return emptyPicture;
  const address = encryptedAddress(state.self.number);
  return {
    link: {
      publicKey,
      port: encryptionPort,
      mtu: state.underlayMtu - encryptionOverheadBytes,
      addresses: new Set([`${address}/32`]),
      peers: wantedPeers(state, publicKey, handshakes),
    },
    remains: false,
    routes: new Set([
      closedRoute,
      `${encryptionRange} dev ${encryptionDevice} scope link src ${address}`,
    ]),
  };
}

function wantedPeers({ peers }: EncryptionState, own: string, handshakes: Handshakes) {
  const wanted = new Map<string, LinkPeer>();
  // Of two nodes that claim one key the one that was here first is believed; neither can read what is for the other.
  const inOrder = peers.toSorted((a, b) => a.number - b.number);
  for (const { number, address, encryptionKey } of inOrder) {
    const announced = parseAnnounced(encryptionKey);
    if (announced === undefined) continue;
    const endpoint = `${address}:${encryptionPort}`;
    const { inUse, next } = announced;
    const sends = next !== undefined && changedOver(inUse, next, handshakes) ? next : inUse;
    for (const key of next === undefined ? [inUse] : [inUse, next]) {
      if (key === own || wanted.has(key)) continue;
      const allowedIps = key === sends ? `${encryptedAddress(number)}/32` : "";
      wanted.set(key, { endpoint, allowedIps });
    }
  }
  return wanted;
}

/** The node has taken its next key into use, and no manager could tell us. */
function changedOver(inUse: string, next: string, handshakes: Handshakes): boolean {
  return (handshakes.get(next) ?? 0) > (handshakes.get(inUse) ?? 0);
}

export interface WireGuardDump extends Pick<LinkPicture, "publicKey" | "port" | "peers"> {
  readonly handshakes: Handshakes;
}

/** Of `wg show DEVICE dump`. Its first field is the private key, which goes nowhere from here. */
export function parseDump(text: string): WireGuardDump {
  const [own = "", ...rest] = text.split("\n");
  const [, publicKey, port] = own.split("\t");
  if (publicKey === undefined || port === undefined || !/^\d{1,5}$/.test(port)) throw unexpected();
  const peers = new Map<string, LinkPeer>();
  const handshakes = new Map<string, number>();
  for (const line of rest) {
    if (line === "") continue;
    const [key, , endpoint, allowedIps, handshake] = line.split("\t");
    if (key === undefined || endpoint === undefined || allowedIps === undefined) throw unexpected();
    peers.set(key, { endpoint: orNone(endpoint), allowedIps: orNone(allowedIps) });
    handshakes.set(key, /^\d+$/.test(handshake ?? "") ? Number(handshake) : 0);
  }
  return { publicKey: orNone(publicKey), port: Number(port), peers, handshakes };
}

function orNone(text: string): string {
  return text === "(none)" ? "" : text;
}

function unexpected(): Fault {
  return new Fault("internal", "Cannot understand what wg shows of the encrypted link");
}
