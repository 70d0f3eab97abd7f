/** The services of a node's engine, and which of them users reach through managers. */
import type { DescMethod } from "@bufbuild/protobuf";
import {
  ContainerService,
  EngineService,
  HostService,
  ImageService,
  LayerService,
  NetworkService,
  VolumeService,
} from "./gen/swarm/v1/engine_pb.ts";

/** By a call with this metadata a user names the node that shall answer: its ID. */
export const nodeMetadata = "swarm-node";

/** What managers pass on to the node that a call names. */
export const relayedServices = [
  ImageService,
  VolumeService,
  ContainerService,
  EngineService,
  NetworkService,
  HostService,
] as const;

/** What nodes that are down are asked as well: how they can be reached, or not, is the question. */
export const diagnosticMethods: ReadonlySet<DescMethod> = new Set<DescMethod>([
  NetworkService.method.probeNode,
  NetworkService.method.countArrivals,
  ...HostService.methods,
]);

export const engineServices = [...relayedServices, LayerService] as const;
