/**
 * Labels and availability that a host's node shall have: what the file says, and where it is silent what the node has already,
 * so that a node which was drained by hand stays drained. Pure.
 */
import type { NodeSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Availability, FileHost } from "./cluster-file/cluster-file.ts";

/** On nodes that run no tasks because of their roles: else nothing would tell them from those that somebody has drained. */
export const rolesLabel = "swarm.roles";

export interface NodeSettings {
  readonly labels: Readonly<Record<string, string>>;
  readonly availability: NodeAvailability;
}

/** The words of the file, as nodes have them. */
export const availabilities: Readonly<Record<Availability, NodeAvailability>> = {
  active: NodeAvailability.ACTIVE,
  pause: NodeAvailability.PAUSE,
  drain: NodeAvailability.DRAIN,
};

/** Of a newcomer there is no spec yet. */
export function nodeSettings(
  { labels, availability, runsTasks }: FileHost,
  spec?: NodeSpec,
): NodeSettings {
  const { [rolesLabel]: mark, ...kept } = spec?.annotations?.labels ?? {};
  const present = spec?.availability ?? NodeAvailability.ACTIVE;
  const mayRun = mark === undefined ? present : NodeAvailability.ACTIVE;
  const byRoles = runsTasks ? mayRun : NodeAvailability.DRAIN;
  return {
    labels: { ...(labels ?? kept), ...(!runsTasks && { [rolesLabel]: "manager" }) },
    availability: availability === undefined ? byRoles : availabilities[availability],
  };
}

export function availabilityName(value: NodeAvailability): string {
  const [name] = Object.entries(availabilities).find(([, one]) => one === value) ?? [`${value}`];
  return name;
}
