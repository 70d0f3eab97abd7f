/** Who may reach whom: among tasks, between tasks and the outside, and from all of them to this host. */
import { unservedPortRules } from "../services/maps.ts";
import { vethPattern } from "../devices.ts";
import { vxlanDevices, vxlanNetwork, vxlanNetworks } from "./raw.ts";
import { encryptionDevice } from "../wireguard/addresses.ts";
import type { RulesetOptions } from "./options.ts";

// An egress packet is masqueraded as a node: forged VXLAN in it would be trusted. So it is dropped before anything is
// accepted; it must not ride on a flow that began as something else. A flow to a published port has an original destination
// outside the pool; a peer sends to tasks only what it has checked itself.
export function forwardChains({ port }: RulesetOptions): string {
  return `\
  chain filter_fwd {
    type filter hook forward priority filter
    udp dport ${port} ${vxlanNetwork} ${vxlanNetworks} ip saddr @pool drop
    ct state established accept
    ct state related goto about_flow
    ip saddr @pool goto from_task
    ip6 saddr @pool6 goto from_task
    ip daddr @pool goto to_task
    ip6 daddr @pool6 goto to_task
  }
  chain about_flow {
    ip saddr . ip daddr @samenet accept
    ip6 saddr . ip6 daddr @samenet6 accept
    ct status dnat ct original ip daddr != @pool accept comment "a published port's, asked from a task"
    ct status dnat ct original ip6 daddr != @pool6 accept
    ip saddr @pool ip daddr @pool drop comment "an error about a flow of others"
    ip6 saddr @pool6 ip6 daddr @pool6 drop
    accept
  }
  chain from_task {
    ct state invalid drop
    ip saddr . ip daddr @samenet accept
    ip6 saddr . ip6 daddr @samenet6 accept
    ip saddr @internal goto refuse
    ip6 saddr @internal6 goto refuse
    ct status dnat ct original ip daddr != @pool accept comment "a published port, asked from a task"
    ct status dnat ct original ip6 daddr != @pool6 accept
    ip daddr @pool goto refuse
    ip6 daddr @pool6 goto refuse
  }
  chain to_task {
    ct state invalid drop
    ct status dnat ct original ip daddr != @pool accept comment "a published port of this node"
    ct status dnat ct original ip6 daddr != @pool6 accept
    iifname ${vxlanDevices} accept comment "a published port of a peer"
    goto refuse
  }`;
}

export function inputChains({ port }: RulesetOptions): string {
  return `\
  chain filter_in {
    type filter hook input priority filter
    udp dport ${port} ${vxlanNetwork} 4096 ip saddr != @nodes drop
    udp dport ${port} ${vxlanNetwork} 4097 iifname != "${encryptionDevice}" drop
    ct state established accept
    iifname != "${vethPattern}" ct state related accept
    meta l4proto . th dport @ports fib daddr type local jump unserved
    iifname ${vxlanDevices} ip6 saddr fe80::/64 icmpv6 type echo-request accept comment "from a peer itself"
    iifname ${vxlanDevices} drop comment "nothing else of the host is reachable through the overlay"
    iifname "${vethPattern}" goto task_to_host
    iifname != "lo" ip daddr @pool drop comment "gateway addresses serve tasks only"
    iifname != "lo" ip6 daddr @pool6 drop
  }
  chain unserved {
    ip daddr @pool return
    ip6 daddr @pool6 return
${unservedPortRules()}
  }
  chain task_to_host {
    ct state related ct reply ip saddr @pool accept comment "an error about what the host asked"
    ct state related ct reply ip6 saddr @pool6 accept
    ip saddr . ip daddr @resolver meta l4proto { tcp, udp } th dport 53 accept
    ip6 saddr . ip6 daddr @resolver6 meta l4proto { tcp, udp } th dport 53 accept
    ip saddr . ip daddr @resolver icmp type echo-request accept
    ip6 saddr . ip6 daddr @resolver6 icmpv6 type echo-request accept
    ip daddr @pool goto refuse
    ip6 daddr @pool6 goto refuse
    icmp type echo-request accept
    icmpv6 type echo-request accept
    ip saddr @closed goto refuse
    ip6 saddr @closed6 goto refuse
  }`;
}
