/** Before anything else: what may come in and go out at all, the zone that a flow from a node gets, and refusals at once. */
import { encryptedDevice, guardMark, plainDevice, vethPattern } from "../devices.ts";
import { encryptionDevice } from "../wireguard/addresses.ts";
import type { RulesetOptions } from "./options.ts";

export const vxlanDevices = `{ "${plainDevice}", "${encryptedDevice}" }`;

/** The VNI in a VXLAN header behind UDP's: VXLAN of others on the same port stays untouched. */
export const vxlanNetwork = "@th,96,24";
export const vxlanNetworks = "{ 4096, 4097 }";

/**
 * An ICMP error that comes while connect() is still on its way into the kernel counts only after the first repetition, one
 * second later. A reset counts at once. And to sockets of datagrams the route's error is no error, as the network may
 * recover; that a port is unreachable is one. Unknown addresses are refused after services have chosen a backend, and before
 * routing finds that there is none.
 */
export const refusalChains = `\
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain unknown_pre {
    type filter hook prerouting priority dstnat + 10
    iifname "${vethPattern}" tcp flags & (syn | ack) == syn ip daddr @pool fib daddr type != local fib daddr oif missing reject with tcp reset
    iifname "${vethPattern}" tcp flags & (syn | ack) == syn ip6 daddr @pool6 fib daddr type != local fib daddr oif missing reject with tcp reset
    iifname "${vethPattern}" meta l4proto udp ct state new ip daddr @pool fib daddr type != local fib daddr oif missing reject with icmpx port-unreachable
    iifname "${vethPattern}" meta l4proto udp ct state new ip6 daddr @pool6 fib daddr type != local fib daddr oif missing reject with icmpx port-unreachable
  }`;

// Before conntrack. "fib" looks whether the source routes back to where the packet came from: it holds for IPv6, too,
// which has no rp_filter. Two nodes may bring the same client and port: zones keep the flows apart.
export function rawChains({ port }: RulesetOptions): string {
  return `\
  chain raw_pre {
    type filter hook prerouting priority raw
    iifname "${vethPattern}" goto from_veth
    iifname ${vxlanDevices} meta l4proto { tcp, udp, sctp } ct original zone set ether saddr map @node_zone accept
    iifname { "${plainDevice}", "${encryptedDevice}", "lo" } accept
    ip saddr @pool drop comment "task addresses come from veths and peers only"
    ip6 saddr @pool6 drop
    ip daddr 127.0.0.0/8 drop
  }
  chain from_veth {
    ip saddr 0.0.0.0/8 drop comment "fib lets who has no address yet talk to everybody"
    ip6 saddr :: drop
    fib saddr . iif oif missing drop
    ip6 saddr fe80::/10 drop comment "no router advertisements, no link-local talk with the host"
    ip daddr 127.0.0.0/8 drop comment "in spite of route_localnet"
  }
  chain out_raw {
    type filter hook output priority raw
    udp dport ${port} ${vxlanNetwork} ${vxlanNetworks} meta mark != ${guardMark} drop comment "processes do not speak our VXLAN"
    udp dport ${port} ${vxlanNetwork} 4097 oifname != "${encryptionDevice}" drop comment "never in clear"
  }`;
}

/** Only packets of our own devices get a mark: nobody else's change. */
export const markChain = `\
  chain mangle_pre {
    type filter hook prerouting priority mangle
    iifname { "${vethPattern}", "${plainDevice}", "${encryptedDevice}" } meta mark set ct original zone map @zone_mark
  }`;
