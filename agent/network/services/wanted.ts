/**
 * What the managers' state makes of services on this host. A service whose objects are those of the state before is not
 * looked into again: one change among thousands of services costs a few milliseconds.
 *
 * A service that makes no sense is refused by itself, and so is an address or a port that another one has: the first by ID
 * keeps it, on all hosts alike; a cluster's port goes before a host's. No refusal keeps others from the kernel.
 */
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { isSameList, listChanges } from "../list-changes.ts";
import { Breaks } from "./breaks.ts";
import { type Claim, type Demand, portClaim, serviceClaims, servingAddresses } from "./claims.ts";
import { emptyMaps, type ServicePicture } from "./picture.ts";
import { dealAffineSlots, dealSlots, type Slots } from "./slots.ts";

export interface ServicesInput {
  /** This node's. */
  readonly nodeId: string;
  /** Networks that this host carries. */
  readonly networkIds: ReadonlySet<string>;
  readonly services: readonly ServiceEndpoint[];
  readonly endpoints: readonly NetworkEndpoint[];
  readonly hostPorts: readonly HostPort[];
}

/** A port that a task of this host publishes here alone, from attach to detach. */
export interface HostPort {
  readonly taskId: string;
  readonly port: PortConfig;
  /** The task's on its main network, of both families, canonical. */
  readonly addresses: readonly string[];
}

export interface WantedServices extends ServicePicture {
  /** What is not in the picture, and why. */
  readonly refusals: readonly Fault[];
  /** By ID of the service. */
  readonly parts: ReadonlyMap<string, Part>;
  readonly hostParts: readonly Part[];
  readonly grouping: Grouping;
}

/** The input in order; where endpoints of a service did not change, theirs is the same list as before. */
interface Grouping extends Pick<ServicesInput, "services" | "endpoints" | "networkIds"> {
  /** By ID. */
  readonly sorted: readonly ServiceEndpoint[];
  readonly ofService: ReadonlyMap<string, readonly NetworkEndpoint[]>;
}

/** What one service, or one task's ports, add to the picture. */
interface Part {
  readonly owner: string;
  readonly claims: readonly DealtClaim[];
  readonly hairpins: readonly string[];
  readonly refusal: Fault | undefined;
  readonly source: Source | undefined;
}

/** What a part was made of: the same objects make the same part. */
interface Source {
  readonly service: ServiceEndpoint;
  readonly endpoints: readonly NetworkEndpoint[];
  readonly networkIds: readonly string[];
}

interface DealtClaim extends Claim {
  readonly dealt: readonly Slots[];
}

/** `previous` is what was wanted before or, on a start, what stands: its backends keep their slots. */
export async function wantedServices(
  input: ServicesInput,
  previous: ServicePicture & Partial<WantedServices>,
): Promise<WantedServices> {
  const breaks = new Breaks();
  const deal = (claims: readonly Claim[]) => dealClaims(claims, input.nodeId, previous);
  const grouping = group(input, previous.grouping);
  const sameNetworks = grouping.networkIds === previous.grouping?.networkIds;
  const parts = new Map<string, Part>();
  const changed: Part[] = [];
  for (const service of grouping.sorted) {
    const endpoints = grouping.ofService.get(service.id) ?? [];
    const before = previous.parts?.get(service.id);
    const known = sameNetworks && before?.source?.service === service ? before.source : undefined;
    const networkIds = known?.networkIds ?? carried(service, input.networkIds);
    const source = { service, endpoints, networkIds };
    const isSame = before !== undefined && hasSource(before, source);
    const part = isSame ? before : servicePart(source, input.nodeId, deal);
    parts.set(service.id, part);
    if (!isSame) changed.push(part);
    if (breaks.isDue(isSame ? unitsOfSame : 1 + cost(part))) await breaks.take();
  }
  const hostParts = input.hostPorts.map((hostPort) => hostPart(hostPort, deal));
  const without = hostParts.length + (previous.hostParts?.length ?? 0) === 0;
  const amended = without ? amend(previous, parts, changed) : undefined;
  const merged = amended ?? merge([...parts.values(), ...hostParts]);
  return { ...merged, parts, hostParts, grouping };
}

/** In units of Breaks: what it costs to see that a service is as it was. */
const unitsOfSame = 0.2;

function group(
  { services, endpoints, networkIds }: ServicesInput,
  before: Grouping | undefined,
): Grouping {
  const sorted =
    before !== undefined && isSameList(services, before.services)
      ? before.sorted
      : services.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const isSame =
    before?.networkIds.size === networkIds.size &&
    [...networkIds].every((networkId) => before.networkIds.has(networkId));
  const { gone, came } = listChanges(before?.endpoints ?? [], endpoints);
  const ofService = new Map(before?.ofService);
  const left = new Set(gone);
  for (const serviceId of new Set(gone.map((endpoint) => endpoint.serviceId))) {
    const rest = (ofService.get(serviceId) ?? []).filter((endpoint) => !left.has(endpoint));
    ofService.set(serviceId, rest);
    if (rest.length === 0) ofService.delete(serviceId);
  }
  for (const [serviceId, fresh] of Map.groupBy(came, (endpoint) => endpoint.serviceId)) {
    ofService.set(serviceId, [...(ofService.get(serviceId) ?? []), ...fresh]);
  }
  return {
    services,
    sorted,
    endpoints,
    ofService,
    networkIds: isSame ? before.networkIds : networkIds,
  };
}

type Merged = Pick<WantedServices, "maps" | "sets" | "refusals">;

/**
 * As before, but for the slots of services that ask for the same and have the same tasks of this host: so it is when backends
 * elsewhere come and go. Undefined: it is not so, or addresses and ports are contested.
 */
function amend(
  previous: ServicePicture & Partial<WantedServices>,
  parts: ReadonlyMap<string, Part>,
  changed: readonly Part[],
): Merged | undefined {
  const { parts: before, refusals, sets } = previous;
  if (before?.size !== parts.size || refusals?.length !== 0) return undefined;
  const maps = { ...previous.maps };
  for (const part of changed) {
    const same = before.get(part.source?.service.id ?? "");
    if (same === undefined || !asksTheSame(part, same)) return undefined;
    for (const { map, key, slots } of part.claims.flatMap(slotsOf)) {
      if (maps[map].get(key) === slots) continue;
      const copy = new Map(maps[map]);
      if (slots.length > 0) copy.set(key, slots);
      else copy.delete(key);
      maps[map] = copy;
    }
  }
  return { maps, sets, refusals };
}

function asksTheSame(part: Part, other: Part): boolean {
  const asked = ({ claims }: Part) =>
    claims.flatMap(({ names, port, demands }) => [
      ...names,
      port,
      ...demands.flatMap(({ map, key }) => [map, key]),
    ]);
  return (
    part.refusal === undefined &&
    isSameList(asked(part), asked(other)) &&
    isSameList(part.hairpins, other.hairpins)
  );
}

function slotsOf({ demands, dealt }: DealtClaim) {
  return demands.map(({ map, key }, index) => ({ map, key, slots: dealt[index] ?? [] }));
}

/** Networks that matter to the service and that this host carries. */
function carried(service: ServiceEndpoint, networkIds: ReadonlySet<string>): readonly string[] {
  return [...service.networks.map(({ networkId }) => networkId), service.publishedNetworkId].filter(
    (networkId) => networkIds.has(networkId),
  );
}

function hasSource({ source }: Part, wanted: Source): boolean {
  return (
    source !== undefined &&
    source.service === wanted.service &&
    isSameList(source.endpoints, wanted.endpoints) &&
    isSameList(source.networkIds, wanted.networkIds)
  );
}

type Deal = (claims: readonly Claim[]) => readonly DealtClaim[];

function servicePart(source: Source, nodeId: string, deal: Deal): Part {
  const { service, endpoints, networkIds } = source;
  const owner = `service "${service.name}"`;
  try {
    const local = endpoints.filter((endpoint) => endpoint.nodeId === nodeId);
    const claims = deal(serviceClaims(service, endpoints, new Set(networkIds)));
    const hairpins = networkIds.flatMap((networkId) => servingAddresses(local, networkId));
    return { owner, claims, hairpins, refusal: undefined, source };
  } catch (thrown) {
    const refusal = Fault.wrap(`Cannot serve ${owner}`, thrown);
    return { owner, claims: [], hairpins: [], refusal, source };
  }
}

function hostPart({ taskId, port, addresses }: HostPort, deal: Deal): Part {
  const owner = `task "${taskId}"`;
  try {
    const claims = deal([portClaim(port, addresses, false)]);
    return { owner, claims, hairpins: addresses, refusal: undefined, source: undefined };
  } catch (thrown) {
    const refusal = Fault.wrap(`Cannot publish a port of ${owner}`, thrown);
    return { owner, claims: [], hairpins: [], refusal, source: undefined };
  }
}

function dealClaims(
  claims: readonly Claim[],
  nodeId: string,
  previous: ServicePicture,
): readonly DealtClaim[] {
  return claims.map((claim) => ({
    ...claim,
    dealt: claim.demands.map((demand) => dealDemand(demand, nodeId, previous)),
  }));
}

function dealDemand(
  { map, key, affine, backends }: Demand,
  nodeId: string,
  previous: ServicePicture,
) {
  const before = previous.maps[map].get(key) ?? [];
  const slots = affine
    ? dealAffineSlots(backends)
    : dealSlots(before, backends, `${nodeId} ${map} ${key}`);
  // The same object spares the plan a look.
  return isSameList(slots, before) ? before : slots;
}

/** In units of Breaks. */
function cost({ claims }: Part): number {
  return claims.flatMap((claim) => claim.dealt).reduce((sum, slots) => sum + slots.length * 2, 0);
}

function merge(parts: readonly Part[]): Merged {
  const maps = emptyMaps();
  const sets = {
    ports: new Set<string>(),
    hairpin: new Set<string>(),
    hairpin6: new Set<string>(),
  };
  const refusals: Fault[] = [];
  const owners = new Map<string, string>();
  for (const { owner, claims, hairpins, refusal } of parts) {
    if (refusal !== undefined) refusals.push(refusal);
    for (const address of hairpins) {
      sets[address.includes(":") ? "hairpin6" : "hairpin"].add(`${address} . ${address}`);
    }
    for (const claim of claims) {
      const holder = claim.names.map((name) => owners.get(name)).find((name) => name !== undefined);
      if (holder !== undefined) {
        refusals.push(taken(claim, owner, holder));
        continue;
      }
      for (const name of claim.names) owners.set(name, owner);
      if (claim.port !== undefined) sets.ports.add(claim.port);
      for (const { map, key, slots } of slotsOf(claim)) {
        if (slots.length > 0) maps[map].set(key, slots);
      }
    }
  }
  return { maps, sets, refusals };
}

function taken({ what }: Claim, owner: string, holder: string): Fault {
  return new Fault(
    "already-exists",
    `${owner} does not get ${what} on this host: ${holder} has it; publish another port`,
  );
}
