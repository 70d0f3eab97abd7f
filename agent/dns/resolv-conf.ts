/** The nameservers of a resolv.conf(5). */
import { isIP } from "node:net";

/** The C library stops at three as well. */
const nameserversMax = 3;

export function parseNameservers(text: string): readonly string[] {
  const servers = text
    .split("\n")
    .map((line) => /^nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((address): address is string => address !== undefined && isIP(address) !== 0);
  return [...new Set(servers)].slice(0, nameserversMax);
}
