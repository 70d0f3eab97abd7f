/**
 * Services by what nodes ask of them: which are on a network, and to which network the ports of each lead. Folded from
 * commits. Invariant: each service is here as `serviceEndpointOf` makes it of the store.
 */
import { equals } from "@bufbuild/protobuf";
import { type ServiceEndpoint, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "../store/store.ts";
import { networkTargetsOf, serviceEndpointOf } from "./service-endpoint.ts";

/** A service as nodes knew it and as they shall. */
export interface ServiceNews {
  readonly id: string;
  readonly before: ServiceEndpoint | undefined;
  readonly after: ServiceEndpoint | undefined;
}

export class ServiceIndex {
  readonly #view: View;
  readonly #services = new Map<string, ServiceEndpoint>();
  /** Network → services that have names there. */
  readonly #ofNetwork = new Map<string, Set<string>>();
  /** Network → services whose ports lead there. */
  readonly #published = new Map<string, Set<string>>();
  /** A network's name or ID, as services say it → those services. All of them are also under `anyTarget`. */
  readonly #users = new Map<string, Set<string>>();
  #ingressId: string | undefined;

  constructor(view: View) {
    this.#view = view;
    this.#ingressId = view.list("network").find(({ spec }) => spec?.ingress === true)?.id;
    for (const service of view.list("service")) this.onService(undefined, service);
  }

  get(serviceId: string): ServiceEndpoint | undefined {
    return this.#services.get(serviceId);
  }

  /** Those that have names on the network. */
  ofNetwork(networkId: string): Iterable<string> {
    return this.#ofNetwork.get(networkId) ?? [];
  }

  /** Networks to which every node must find the way. */
  publishedNetworks(): Iterable<string> {
    return this.#published.keys();
  }

  isPublished(networkId: string): boolean {
    return this.#published.has(networkId);
  }

  /** Those that every node must know. */
  *published(): Iterable<string> {
    for (const ids of this.#published.values()) yield* ids;
  }

  onService(before: Service | undefined, after: Service | undefined): ServiceNews | undefined {
    const id = (after ?? before)?.id;
    if (id === undefined) return undefined;
    if (before !== undefined) {
      for (const target of targetsOf(before)) removeFrom(this.#users, target, id);
    }
    if (after !== undefined) {
      for (const target of targetsOf(after)) addTo(this.#users, target, id);
    }
    return this.#refresh(id);
  }

  /** A network that came, changed or went, and with it what services say of it. */
  onNetwork(before: Network | undefined, after: Network | undefined): readonly ServiceNews[] {
    const network = after ?? before;
    if (network === undefined) return [];
    const targets = [network.id, network.spec?.annotations?.name ?? ""];
    if (network.spec?.ingress === true) {
      if (after !== undefined) this.#ingressId = after.id;
      else if (this.#ingressId === network.id) this.#ingressId = undefined;
      targets.push(anyTarget);
    }
    const ids = new Set(targets.flatMap((target) => [...(this.#users.get(target) ?? [])]));
    return [...ids].flatMap((id) => this.#refresh(id) ?? []);
  }

  #refresh(id: string): ServiceNews | undefined {
    const before = this.#services.get(id);
    const service = this.#view.get("service", id);
    const ingress =
      this.#ingressId === undefined ? undefined : this.#view.get("network", this.#ingressId);
    const after = service && serviceEndpointOf(service, this.#view, ingress);
    if (before !== undefined && after !== undefined) {
      if (equals(ServiceEndpointSchema, before, after)) return undefined;
    } else if (before === after) return undefined;
    if (before !== undefined) this.#drop(before);
    if (after !== undefined) this.#add(after);
    return { id, before, after };
  }

  #add(service: ServiceEndpoint): void {
    this.#services.set(service.id, service);
    for (const { networkId } of service.networks) addTo(this.#ofNetwork, networkId, service.id);
    const { publishedNetworkId } = service;
    if (publishedNetworkId !== "") addTo(this.#published, publishedNetworkId, service.id);
  }

  #drop(service: ServiceEndpoint): void {
    this.#services.delete(service.id);
    for (const { networkId } of service.networks) {
      removeFrom(this.#ofNetwork, networkId, service.id);
    }
    removeFrom(this.#published, service.publishedNetworkId, service.id);
  }
}

/** No network's name or ID. */
const anyTarget = "*";

function targetsOf(service: Service): ReadonlySet<string> {
  return new Set([anyTarget, ...networkTargetsOf(service)]);
}

function addTo(sets: Map<string, Set<string>>, name: string, id: string): void {
  const set = sets.get(name);
  if (set === undefined) sets.set(name, new Set([id]));
  else set.add(id);
}

function removeFrom(sets: Map<string, Set<string>>, name: string, id: string): void {
  const set = sets.get(name);
  set?.delete(id);
  if (set?.size === 0) sets.delete(name);
}
