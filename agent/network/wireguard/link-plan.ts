/**
 * What has to be done for the encrypted link to be as wanted. Pure.
 *
 * Order: the closed route before the link and after it, so that at no time the LAN's routes carry the range; keys and
 * peers in one go, which `wg` hands to the link as a whole.
 */
import { encryptionDevice } from "./addresses.ts";
import type { EncryptionPicture, LinkPeer, LinkPicture } from "./link-picture.ts";

/** The routes that are ours; the data plane's have another number. */
export const encryptionProtocol = 116;

export type LinkStep =
  | { readonly kind: "make" | "remove" }
  | { readonly kind: "ip"; readonly lines: readonly string[] }
  /** Arguments behind `wg set DEVICE`; with the private key before them where `keyed`. */
  | { readonly kind: "wg"; readonly keyed: boolean; readonly args: readonly string[] };

/** Linux takes two megabytes of arguments; a peer has a hundred bytes. */
const peersPerRun = 2_000;

export function planLink(
  actual: EncryptionPicture,
  wanted: EncryptionPicture,
): readonly LinkStep[] {
  const isClosed = (route: string) => route.startsWith("unreachable");
  // A device that is removed takes its routes with it.
  const routes = new Set([...actual.routes].filter((route) => !actual.remains || isClosed(route)));
  const gone = [...routes].filter((route) => !wanted.routes.has(route));
  const missing = [...wanted.routes].filter((route) => !routes.has(route));
  const { link } = wanted;
  const remove: readonly LinkStep[] = [{ kind: "remove" }];
  if (link === undefined) {
    // The link's own route has gone with it.
    return [
      ...(actual.link !== undefined || actual.remains ? remove : []),
      ...ip(gone.filter(isClosed).map((route) => routeLine("del", route))),
    ];
  }
  const before = actual.link ?? freshLink;
  return [
    ...ip(missing.filter(isClosed).map((route) => routeLine("add", route))),
    ...(actual.remains ? remove : []),
    ...(actual.link === undefined ? [{ kind: "make" } as const] : []),
    ...planKeys(before, link),
    ...ip([
      // Before the address that it names.
      ...gone.map((route) => routeLine("del", route)),
      ...planDevice(before, link),
      ...missing.filter((route) => !isClosed(route)).map((route) => routeLine("replace", route)),
    ]),
  ];
}

const freshLink: LinkPicture = {
  publicKey: "",
  port: 0,
  mtu: 0,
  addresses: new Set(),
  peers: new Map(),
};

function ip(lines: readonly string[]): readonly LinkStep[] {
  return lines.length === 0 ? [] : [{ kind: "ip", lines }];
}

function routeLine(action: "add" | "del" | "replace", route: string): string {
  return `route ${action} ${route} proto ${encryptionProtocol}`;
}

function planDevice(actual: LinkPicture, wanted: LinkPicture): readonly string[] {
  const gone = [...actual.addresses].filter((address) => !wanted.addresses.has(address));
  const missing = [...wanted.addresses].filter((address) => !actual.addresses.has(address));
  return [
    ...gone.map((address) => `addr del ${address} dev ${encryptionDevice}`),
    ...missing.map((address) => `addr add ${address} dev ${encryptionDevice}`),
    ...(actual.mtu === wanted.mtu
      ? []
      : [
          `link set ${encryptionDevice} addrgenmode none`,
          `link set ${encryptionDevice} mtu ${wanted.mtu} up`,
        ]),
  ];
}

function planKeys(actual: LinkPicture, wanted: LinkPicture): readonly LinkStep[] {
  const keyed = actual.publicKey !== wanted.publicKey;
  const own = actual.port === wanted.port ? [] : ["listen-port", String(wanted.port)];
  const changes = [
    ...[...actual.peers.keys()]
      .filter((key) => !wanted.peers.has(key))
      .map((key) => ["peer", key, "remove"]),
    ...[...wanted.peers].flatMap(([key, peer]) => planPeer(key, actual.peers.get(key), peer)),
  ];
  const steps: LinkStep[] = [];
  for (let start = 0; start < changes.length; start += peersPerRun) {
    const args = changes.slice(start, start + peersPerRun).flat();
    steps.push({ kind: "wg", keyed: false, args });
  }
  const [first, ...more] = steps;
  if (!keyed && own.length === 0) return steps;
  const args = [...own, ...(first?.kind === "wg" ? first.args : [])];
  return [{ kind: "wg", keyed, args }, ...more];
}

/** Not what is right already: an endpoint that is set again is learnt anew. */
function planPeer(key: string, actual: LinkPeer | undefined, wanted: LinkPeer) {
  const endpoint = actual?.endpoint === wanted.endpoint ? [] : ["endpoint", wanted.endpoint];
  const allowed =
    (actual?.allowedIps ?? "") === wanted.allowedIps ? [] : ["allowed-ips", wanted.allowedIps];
  return endpoint.length + allowed.length === 0 ? [] : [["peer", key, ...endpoint, ...allowed]];
}
