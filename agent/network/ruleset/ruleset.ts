/**
 * The nftables rules of a host: table `inet swarm` with sets that carry all state, and table `netdev swarm` on the VXLAN
 * devices. Rules never change while a host runs; networks, nodes and services are elements. Each table carries a hash of
 * its text as its comment, so that another version of the rules replaces it in one transaction.
 *
 * Invariants: a packet from a task carries the task's own address; tasks of two networks never meet; an internal network
 * has no way out; VXLAN with our VNIs is sent by the VXLAN devices alone and taken from nodes alone; an encrypted
 * network's packets never leave through the plain device.
 */
import { createHash } from "node:crypto";
import { serviceDeclarations } from "../services/maps.ts";
import { type Device, guardMark, plainDevice } from "../devices.ts";
import { declarationLines } from "./elements.ts";
import { forwardChains, inputChains } from "./filter.ts";
import { natChains } from "./nat.ts";
import type { RulesetOptions } from "./options.ts";
import { markChain, rawChains, refusalChains } from "./raw.ts";

/** What a table's reader can tell of it: the hash that it says of itself, and how many rules each of its chains has. */
export function tableVersion(options: RulesetOptions): string {
  return versionOf(tableBody(options));
}

export function guardVersion(devices: readonly Device[]): string {
  return versionOf(guardBody(devices));
}

/** Lines that make the table, with these elements in its sets; whatever stood before is gone in the same transaction. */
export function tableLines(
  options: RulesetOptions,
  elements: readonly string[],
): readonly string[] {
  return [...lines("inet", tableBody(options)), ...elements];
}

/** A netdev chain lives and dies with its devices: to be loaded after they were made. */
export function guardLines(
  devices: readonly Device[],
  elements: readonly string[],
): readonly string[] {
  return [...lines("netdev", guardBody(devices)), ...elements];
}

function lines(family: "inet" | "netdev", body: string): readonly string[] {
  return [
    `table ${family} swarm`,
    `delete table ${family} swarm`,
    `table ${family} swarm {`,
    `  comment "${hash(body)}"`,
    ...body.split("\n"),
    "}",
  ];
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** The same of our own text as of what nft prints: the comment, and the number of rules in each chain. */
export function describeTable(comment: string, text: string): string {
  const counts = new Map<string, number>();
  let chain: string | undefined;
  for (const line of text.split("\n").map((each) => each.trim())) {
    const [, name] = /^chain (\S+) \{$/.exec(line) ?? [];
    if (name !== undefined) counts.set((chain = name), 0);
    else if (line === "}") chain = undefined;
    else if (chain !== undefined && line !== "" && !line.startsWith("type ")) {
      counts.set(chain, (counts.get(chain) ?? 0) + 1);
    }
  }
  const chains = [...counts].map(([name, count]) => `${name}=${count}`).sort();
  return [comment, ...chains].join(" ");
}

function versionOf(body: string): string {
  return describeTable(hash(body), body);
}

// The mark must go before VXLAN routes the outer packet by it; the one that is set instead opens `out_raw`.
function guardBody(devices: readonly Device[]): string {
  return `\
${declarationLines("netdev").join("\n")}
  chain out {
    type filter hook egress devices = { ${devices.join(", ")} } priority 0
    oifname "${plainDevice}" ip saddr @secret drop
    oifname "${plainDevice}" ip daddr @secret drop
    oifname "${plainDevice}" ip6 saddr @secret6 drop
    oifname "${plainDevice}" ip6 daddr @secret6 drop
    ether daddr set meta mark & 0xffff0000 map @zone_mac
    meta mark set ${guardMark}
  }`;
}

function tableBody(options: RulesetOptions): string {
  return [
    ...declarationLines("inet"),
    serviceDeclarations(),
    refusalChains,
    rawChains(options),
    markChain,
    natChains(options),
    forwardChains(options),
    inputChains(options),
  ].join("\n");
}
