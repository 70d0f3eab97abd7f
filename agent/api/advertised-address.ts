import { isIPv6 } from "node:net";

/** Where others reach what listens on `listenAddress`: at the node's own address where it listens on all. */
export function advertisedAddress(listenAddress: string, nodeAddress: string): string {
  const [, host, port] = /^(?:0\.0\.0\.0|\[::\]|(.*)):([0-9]+)$/.exec(listenAddress) ?? [];
  if (host !== undefined) return listenAddress;
  return isIPv6(nodeAddress) ? `[${nodeAddress}]:${port}` : `${nodeAddress}:${port}`;
}
