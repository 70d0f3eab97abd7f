/**
 * A service's endpoint: numbers for its published ports, and a virtual address on each of its networks, one per family.
 * Pure: the view and the books in, changed objects out.
 *
 * What a service has it keeps, for as long as its spec asks for it. What it cannot have now does not keep it from the rest.
 */
import { create, equals } from "@bufbuild/protobuf";
import { isLocalNetworkName } from "#proto/main-network.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  EndpointMode,
  EndpointSchema,
  EndpointSpecSchema,
  type VirtualIp,
  VirtualIpSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { nodePorts } from "../node-ports.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { findNetwork } from "./address-book.ts";
import type { AddressPool } from "./address-pool.ts";
import {
  type AllocateContext,
  networkName,
  noSubnetWords,
  PoolDrafts,
  serviceName,
} from "./drafts.ts";
import { automaticPorts, portKey } from "./port-book.ts";
import { PortDraft, type PortPlan } from "./port-draft.ts";
import { familyOf, formatAddress } from "./subnet.ts";

export interface ServicesPlan {
  readonly actions: readonly Action[];
  /** IDs of the services that lack something, each with what and why. */
  readonly blocked: ReadonlyMap<string, string>;
}

export function planServices(services: readonly Service[], context: AllocateContext): ServicesPlan {
  const ports = new PortDraft(context.ports, nodePorts(context.view));
  const drafts: Drafts = { pools: new PoolDrafts(), ports };
  const actions: Action[] = [];
  const blocked = new Map<string, string>();
  for (const service of services) {
    const { ports: granted, refused } = drafts.ports.plan(service);
    const vips = planVirtualIps(service, drafts.pools, context);
    const [reason] = [...refused.map((one) => refusalWords(one, context.view)), ...vips.reasons];
    if (reason !== undefined) blocked.set(service.id, reason);
    const endpoint = create(EndpointSchema, {
      spec: service.spec?.endpoint ?? create(EndpointSpecSchema),
      ports: [...granted],
      virtualIps: [...vips.virtualIps],
    });
    if (service.endpoint !== undefined && equals(EndpointSchema, endpoint, service.endpoint)) {
      continue;
    }
    actions.push({ action: "update", kind: "service", object: { ...service, endpoint } });
  }
  return { actions, blocked };
}

interface Drafts {
  readonly pools: PoolDrafts;
  readonly ports: PortDraft;
}

function refusalWords({ port, holder }: PortPlan["refused"][number], view: View): string {
  if (holder !== undefined) {
    return `port ${portKey(port)} is already published by service "${serviceName(view, holder)}"`;
  }
  const { min, max } = automaticPorts;
  return `all automatic ports, ${min} to ${max}, are published`;
}

interface VirtualIps {
  readonly virtualIps: readonly VirtualIp[];
  /** What cannot be had, and why. */
  readonly reasons: readonly string[];
}

function planVirtualIps(
  service: Service,
  drafts: PoolDrafts,
  context: AllocateContext,
): VirtualIps {
  const { view, addresses } = context;
  const virtualIps: VirtualIp[] = [];
  const reasons: string[] = [];
  if (service.spec?.endpoint?.mode === EndpointMode.DNSRR) return { virtualIps, reasons };
  for (const { target } of service.spec?.task?.networks ?? []) {
    if (isLocalNetworkName(target)) continue;
    const network = findNetwork(view, target);
    if (network === undefined) reasons.push(`network "${target}" does not exist`);
    if (network === undefined || network.spec?.ingress) continue;
    const pools = addresses.poolsOf(network.id);
    const name = networkName(view, network.id);
    if (pools.length === 0) reasons.push(noSubnetWords(context, network.id));
    for (const pool of pools) {
      const address = keptAddress(service, network.id, pool) ?? takeAddress(pool, drafts);
      if (address !== undefined) {
        virtualIps.push(create(VirtualIpSchema, { networkId: network.id, address }));
        continue;
      }
      const { usage } = drafts.of(pool);
      reasons.push(`network "${name}" has no free address for the service itself: ${usage}`);
    }
  }
  return { virtualIps, reasons };
}

function keptAddress(
  { endpoint }: Service,
  network: string,
  { subnet }: AddressPool,
): string | undefined {
  return endpoint?.virtualIps.find(
    ({ networkId, address }) => networkId === network && familyOf(address) === subnet.family,
  )?.address;
}

function takeAddress(pool: AddressPool, drafts: PoolDrafts): string | undefined {
  const value = drafts.of(pool).take();
  if (value === undefined) return undefined;
  const { family, prefix } = pool.subnet;
  return `${formatAddress({ family, value })}/${prefix}`;
}
