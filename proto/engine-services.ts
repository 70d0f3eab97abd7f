/** The services of a node's engine, and which of them users reach through managers. */
import {
  ContainerService,
  EngineService,
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
] as const;

export const engineServices = [...relayedServices, LayerService] as const;
