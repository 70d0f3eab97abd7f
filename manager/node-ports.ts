/**
 * Ports that nodes need themselves. A published one would take all that comes to it: managers would not reach each other
 * any more, or no network its other hosts.
 */
import { encryptionPort } from "#proto/main-network.ts";
import { clusterOf, dataPathPort } from "./cluster.ts";
import type { View } from "./store/store.ts";

/** By "2377/tcp" and so on: what each is for. */
export function nodePorts(view: View): ReadonlyMap<string, string> {
  const ports = new Map([
    [`${dataPathPort(clusterOf(view))}/udp`, "carries the traffic between containers"],
    [`${encryptionPort}/udp`, "carries the traffic of encrypted networks"],
  ]);
  for (const { managerStatus } of view.list("node")) {
    const port = managerStatus?.address.replace(/^.*:/, "");
    if (port !== undefined) ports.set(`${port}/tcp`, "is where managers listen");
  }
  return ports;
}
