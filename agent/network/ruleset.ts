/**
 * The nftables rules of a host: table `inet swarm` with sets that carry all state, and table `netdev swarm` on the VXLAN
 * device. Rules never change while a host runs; networks and nodes are set elements. Each table carries a hash of its
 * text as its comment, so that another version of the rules replaces it in one transaction.
 *
 * Invariants: a packet from a task carries the task's own address; tasks of two networks never meet; an internal network
 * has no way out; VXLAN with our VNI is sent by the VXLAN device alone and taken from nodes alone.
 */
import { createHash } from "node:crypto";

export interface RulesetOptions {
  /** Name of the VXLAN device. */
  readonly device: string;
  readonly vni: number;
  readonly port: number;
}

/** Mark of what left through the VXLAN device. Rules of others that use this bit would open the door. */
const guardMark = "0x20";

/** Host side of every task's veth; see attachment.ts. */
const vethPattern = "v-*";

export function tableVersion(options: RulesetOptions): string {
  return hash(tableBody(options));
}

export function guardVersion(options: RulesetOptions): string {
  return hash(guardBody(options));
}

/** Lines that make the table, with these elements in its sets; whatever stood before is gone in the same transaction. */
export function tableLines(
  options: RulesetOptions,
  elements: readonly string[],
): readonly string[] {
  return [
    "table inet swarm",
    "delete table inet swarm",
    "table inet swarm {",
    `  comment "${tableVersion(options)}"`,
    ...tableBody(options).split("\n"),
    "}",
    ...elements,
  ];
}

/** A netdev chain lives and dies with its device: to be loaded after the device was made. */
export function guardLines(options: RulesetOptions): readonly string[] {
  return [
    "table netdev swarm",
    "delete table netdev swarm",
    "table netdev swarm {",
    `  comment "${guardVersion(options)}"`,
    ...guardBody(options).split("\n"),
    "}",
  ];
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function guardBody({ device }: RulesetOptions): string {
  return `\
  chain out {
    type filter hook egress device "${device}" priority 0
    meta mark set ${guardMark}
  }`;
}

// "@th,96,24" is the VNI in a VXLAN header behind UDP's: VXLAN of others on the same port stays untouched.
function tableBody(options: RulesetOptions): string {
  return [
    sets,
    refusal,
    rawChains(options),
    natChains(options),
    forwardChains(options),
    inputChains(options),
  ].join("\n");
}

const sets = `\
  set nodes    { type ipv4_addr; }
  set pool     { type ipv4_addr; flags interval; }
  set samenet  { type ipv4_addr . ipv4_addr; flags interval; }
  set internal { type ipv4_addr; flags interval; }
  set closed   { type ipv4_addr; flags interval; }`;

// An ICMP error that comes while connect() is still on its way into the kernel counts only after the first repetition, one
// second later. A reset counts at once.
const refusal = `\
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }`;

// Before conntrack. "fib" looks whether the source routes back to where the packet came from: it holds for IPv6, too,
// which has no rp_filter.
function rawChains({ device, vni, port }: RulesetOptions): string {
  return `\
  chain raw_pre {
    type filter hook prerouting priority raw
    iifname "${vethPattern}" goto from_veth
    iifname { "${device}", "lo" } accept
    ip saddr @pool drop comment "task addresses come from veths and peers only"
  }
  chain from_veth {
    fib saddr . iif oif missing drop
    ip6 saddr fe80::/10 drop comment "no router advertisements, no link-local talk with the host"
    ip daddr 127.0.0.0/8 drop
    tcp flags & (syn | ack) == syn ip daddr @pool fib daddr type != local fib daddr oif missing reject with tcp reset
  }
  chain out_raw {
    type filter hook output priority raw
    udp dport ${port} @th,96,24 ${vni} meta mark != ${guardMark} drop comment "processes do not speak our VXLAN"
  }`;
}

function natChains({ device }: RulesetOptions): string {
  return `\
  chain nat_post {
    type nat hook postrouting priority srcnat
    oifname "${device}" accept
    ip saddr @pool ip daddr != @pool masquerade
  }`;
}

// An egress packet is masqueraded as a node: forged VXLAN in it would be trusted. So it is dropped before anything is
// accepted; it must not ride on a flow that began as something else.
function forwardChains({ vni, port }: RulesetOptions): string {
  return `\
  chain filter_fwd {
    type filter hook forward priority filter
    udp dport ${port} @th,96,24 ${vni} ip saddr @pool drop
    ct state established,related accept
    ip saddr @pool goto from_task
    ip daddr @pool goto to_task
  }
  chain from_task {
    ct state invalid drop
    ip saddr . ip daddr @samenet accept
    ip saddr @internal goto refuse
    ip daddr @pool goto refuse
  }
  chain to_task {
    ct state invalid drop
    goto refuse
  }`;
}

function inputChains({ device, vni, port }: RulesetOptions): string {
  return `\
  chain filter_in {
    type filter hook input priority filter
    udp dport ${port} @th,96,24 ${vni} ip saddr != @nodes drop
    ct state established,related accept
    iifname "${device}" drop comment "nothing of the host is reachable through the overlay"
    iifname "${vethPattern}" goto task_to_host
    iifname != "lo" ip daddr @pool drop comment "gateway addresses serve tasks only"
  }
  chain task_to_host {
    ip saddr . ip daddr @samenet meta l4proto { tcp, udp } th dport 53 accept
    icmp type echo-request accept
    ip daddr @pool goto refuse
    ip saddr @closed goto refuse
  }`;
}
