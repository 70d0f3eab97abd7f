/** The words of the file, as nodes have them. */
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Availability } from "./cluster-file/cluster-file.ts";

export const availabilities: Readonly<Record<Availability, NodeAvailability>> = {
  active: NodeAvailability.ACTIVE,
  pause: NodeAvailability.PAUSE,
  drain: NodeAvailability.DRAIN,
};
