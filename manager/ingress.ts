/**
 * The ingress network: where ports that are published on every node lead to the tasks of services that are on no overlay
 * of their own. Made with the cluster; users may replace it while nothing uses it.
 */
import { isLocalNetworkName } from "#proto/main-network.ts";
import {
  type EndpointSpec,
  type Network,
  type NetworkAttachmentConfig,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "./store/store.ts";

export const noIngressNetwork =
  'the cluster has no ingress network, which published ports need: create one with "swarmctl network create --ingress ingress", or put the service on an overlay network';

export function ingressNetwork(view: View): Network | undefined {
  return view.list("network").find(({ spec }) => spec?.ingress === true);
}

export function publishesOnIngress(endpoint: EndpointSpec | undefined): boolean {
  return (endpoint?.ports ?? []).some(({ publishMode }) => publishMode === PublishMode.INGRESS);
}

/** Whether tasks with these networks must be on the ingress network as well. */
export function needsIngress(
  endpoint: EndpointSpec | undefined,
  networks: readonly NetworkAttachmentConfig[],
): boolean {
  return publishesOnIngress(endpoint) && networks.every(({ target }) => isLocalNetworkName(target));
}
