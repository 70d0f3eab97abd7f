/**
 * The network `bridge` of this host: what a task without any network in its spec is on. The host chooses its subnet and its
 * tasks' addresses; nobody else knows of them. In all else it is as an overlay, with a way out. Pure.
 */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatAddress } from "#proto/ipv4.ts";
import { localNetwork } from "#proto/main-network.ts";
import type { Overlay } from "./network-state.ts";
import { holds, overlap, parseSubnet, type Subnet } from "./subnet.ts";

export const bridgeName = "bridge";

/** Docker's habit, so that firewalls and people know them: 172.17.0.0/16 to 172.31.0.0/16. */
const candidates = Array.from({ length: 15 }, (_, index) => `172.${17 + index}.0.0/16`);

/** What stands stays, as long as no network of the cluster needs its place; else the first that nobody has. */
export function chooseBridge(
  standing: ReadonlySet<string>,
  overlays: readonly Overlay[],
  hostSubnets: readonly Subnet[],
): Overlay | undefined {
  const taken = overlays.flatMap(({ ranges }) => ranges.map(({ subnet }) => subnet));
  const free = candidates
    .map(parseSubnet)
    .filter((subnet) => !taken.some((other) => overlap(subnet, other)));
  const chosen =
    free.find(({ text }) => standing.has(text)) ??
    free.find((subnet) => !hostSubnets.some((other) => overlap(subnet, other)));
  if (chosen === undefined) return undefined;
  return {
    id: bridgeName,
    name: bridgeName,
    ranges: [{ subnet: chosen, gateway: formatAddress(Number(chosen.first) + 1) }],
    internal: false,
    encrypted: false,
    ingress: false,
    local: true,
    mtu: undefined,
  };
}

/** As an object of the managers' kind, for those who look at networks that way. */
export function bridgeNetwork({ ranges }: Overlay): Network {
  const configs = ranges.map(({ subnet, gateway }) => ({ subnet: subnet.text, gateway }));
  const { id, spec, driverState } = localNetwork(bridgeName);
  return create(NetworkSchema, {
    id,
    ...(spec && { spec }),
    ...(driverState && { driverState }),
    ipam: { configs },
  });
}

/** Mostly the same for the same task, and rarely one that another task had just before. */
export function chooseAddress(bridge: Overlay, taskId: string, taken: readonly string[]): string {
  const [range] = bridge.ranges;
  if (range === undefined) throw new Fault("internal", "the bridge has no subnet");
  const { first, last } = range.subnet;
  const used = new Set([...taken.filter((text) => holds(range.subnet, text)), range.gateway]);
  // Neither the network's address nor broadcast's.
  const count = last - first - 1n;
  const start = createHash("sha256").update(taskId).digest().readBigUInt64BE() % count;
  for (let step = 0n; step < count; step += 1n) {
    const address = formatAddress(Number(first + 1n + ((start + step) % count)));
    if (!used.has(address)) return address;
  }
  throw new Fault(
    "resource-exhausted",
    `all ${count} addresses of the network "${bridgeName}" of this host are in use`,
  );
}
