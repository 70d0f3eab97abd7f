/** Where services' addresses and published ports lead to, and whose source a packet carries. */
import { hairpinRules, publishedRules, vipRules } from "../services/maps.ts";
import { vxlanDevices } from "./raw.ts";
import type { RulesetOptions } from "./options.ts";

export function natChains({ address, address6 }: RulesetOptions): string {
  return `\
  chain nat_pre {
    type nat hook prerouting priority dstnat
    iifname ${vxlanDevices} accept comment "the ingress node has chosen already"
${vipRules()}
    fib daddr type local goto published
  }
  chain nat_out {
    type nat hook output priority -100
    fib daddr type local goto published
  }
  chain published {
    ip daddr @pool return
    ip6 daddr @pool6 return
${publishedRules()}
  }
  chain nat_post {
    type nat hook postrouting priority srcnat
${hairpinRules()}
${[...ownSource("ip", address), ...(address6 === undefined ? [] : ownSource("ip6", address6))].join("\n")}
    oifname ${vxlanDevices} accept
    ip saddr @pool ip daddr != @pool masquerade
    ip6 saddr @pool6 ip6 daddr != @pool6 masquerade
  }`;
}

/**
 * The cases where a client's address cannot be kept: the host's 127.0.0.1; a task that asks a node, whose answer would
 * come past that node; a node that asks another one, as the backend may be on the asking node, where it would be a martian.
 */
function ownSource(protocol: "ip" | "ip6", address: string): readonly string[] {
  const six = protocol === "ip6" ? "6" : "";
  const loopback = `    ip saddr 127.0.0.0/8 ip daddr @pool snat ip to ${address}`;
  return [
    ...(protocol === "ip" ? [loopback] : []),
    `    ${protocol} saddr @pool${six} ${protocol} daddr @pool${six} ct status dnat ct original ${protocol} daddr != @pool${six} snat ${protocol} to ${address}`,
    `    ${protocol} saddr @nodes${six} ${protocol} daddr @pool${six} ct status dnat oifname ${vxlanDevices} snat ${protocol} to ${address}`,
  ];
}
