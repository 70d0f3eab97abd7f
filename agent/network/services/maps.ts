/**
 * Service addresses (VIPs) and published ports in nftables: names of maps and sets, their declarations, and the rules that
 * read them, as text for table `inet swarm`. Rules never change; a service is elements of maps:
 *
 *     vip vip6          VIP . slot → backend
 *     pub pub6          protocol . published port . slot → backend . target port
 *     pubip pubip6      host address . protocol . published port . slot → backend . target port (host_ip)
 *     …a …a6            the same with affinity: the client's address chooses the slot, not chance
 *     ports             protocol . published port, with backends or without: refused where no backend takes it
 *     hairpin hairpin6  task . task, of this host's backends: what a task sends itself through a service
 *
 * A key has slots 0–59, or 0–1019 for more than 60 backends; with affinity always 1,020. One map carries both sizes: a
 * number below 1,020 is tried first, which always finds a large key and finds a small key's slots with equal chances; then
 * one below 60, which finds any small key. All hosts choose by the same seed, so a client meets one backend through each.
 */

export const smallSlots = 60;
/** 17 × 60: as even as 60 for small numbers of backends, and a slot for each of 1,020. */
export const largeSlots = 1020;

const hashSeed = "0x5eed";

export const mapNames = [
  "vip",
  "vip6",
  "vipa",
  "vipa6",
  "pub",
  "pub6",
  "puba",
  "puba6",
  "pubip",
  "pubip6",
  "pubipa",
  "pubipa6",
] as const;

export type MapName = (typeof mapNames)[number];

export const serviceSetNames = ["ports", "hairpin", "hairpin6"] as const;

export type ServiceSetName = (typeof serviceSetNames)[number];

type Protocol = "ip" | "ip6";

/** `typeof` takes `numgen` for "a number"; nft 1.0.6 crashes on listing a map that says `jhash` there. */
const slotType = `numgen random mod ${largeSlots}`;

const keys = {
  vip: (protocol: Protocol) => `${protocol} daddr`,
  pub: () => "meta l4proto . th dport",
  pubip: (protocol: Protocol) => `${protocol} daddr . meta l4proto . th dport`,
};

type Kind = keyof typeof keys;

/** Inside the table, before the chains. */
export function serviceDeclarations(): string {
  const maps = mapNames.map((name) => {
    const { kind, protocol } = partsOf(name);
    const backend = kind === "vip" ? `${protocol} daddr` : `${protocol} daddr . th dport`;
    return `  map ${name} { typeof ${keys[kind](protocol)} . ${slotType} : ${backend}; }`;
  });
  return [
    ...maps,
    "  set ports { type inet_proto . inet_service; }",
    "  set hairpin { type ipv4_addr . ipv4_addr; }",
    "  set hairpin6 { type ipv6_addr . ipv6_addr; }",
  ].join("\n");
}

/** In `nat` at prerouting, after the accept of what a peer's ingress has translated already. */
export function vipRules(): string {
  return rules(["vipa", "vip", "vipa6", "vip6"]);
}

/** In the chain that new flows to a local address go to, at prerouting and output; not those to gateways. */
export function publishedRules(): string {
  return rules([
    "pubipa",
    "pubip",
    "puba",
    "pub",
    // A backend could not answer ::1, which no other interface may bring in.
    "ip6 daddr ::1 return",
    "pubipa6",
    "pubip6",
    "puba6",
    "pub6",
  ]);
}

/** In `nat` at postrouting, first. The gateway's address is on every network of the task, so the answer comes back here. */
export function hairpinRules(): string {
  return `\
    ip saddr . ip daddr @hairpin snat ip to ip saddr map @gateway
    ip6 saddr . ip6 daddr @hairpin6 snat ip6 to ip6 saddr map @gateway6`;
}

/** In `filter` at input, for new flows to a local address that is no gateway: the port is the cluster's, nobody serves it. */
export function unservedPortRules(): string {
  return `\
    meta l4proto . th dport @ports meta l4proto tcp reject with tcp reset
    meta l4proto . th dport @ports reject with icmpx port-unreachable`;
}

function rules(lines: readonly string[]): string {
  return lines
    .flatMap((line) => (isMapName(line) ? dnatRules(line) : [line]))
    .map((line) => `    ${line}`)
    .join("\n");
}

function dnatRules(name: MapName): readonly string[] {
  const { kind, protocol, affinity } = partsOf(name);
  const family = protocol === "ip" ? "ipv4" : "ipv6";
  const match = kind === "vip" ? "" : `meta nfproto ${family} meta l4proto { tcp, udp, sctp } `;
  const choices = affinity
    ? [`jhash ${protocol} saddr mod ${largeSlots} seed ${hashSeed}`]
    : [largeSlots, smallSlots].map((slots) => `numgen random mod ${slots}`);
  return choices.map(
    (choice) => `${match}dnat ${protocol} to ${keys[kind](protocol)} . ${choice} map @${name}`,
  );
}

function partsOf(name: MapName): { kind: Kind; protocol: Protocol; affinity: boolean } {
  const [, kind, affinity, six] = /^(vip|pubip|pub)(a?)(6?)$/.exec(name) ?? [];
  return {
    kind: kind === "vip" || kind === "pubip" ? kind : "pub",
    protocol: six === "6" ? "ip6" : "ip",
    affinity: affinity === "a",
  };
}

function isMapName(text: string): text is MapName {
  return mapNames.some((name) => name === text);
}
