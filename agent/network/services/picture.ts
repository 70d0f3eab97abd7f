/**
 * What stands of services in the kernel, or shall stand. One shape for both, so that a plan is a difference. It is grouped by
 * key, because there are thousands of keys with 60 elements each, of which one changes: what did not change is the same
 * object in the next picture, and is not looked into.
 */
import { type MapName, mapNames, type ServiceSetName } from "./maps.ts";
import type { Slots } from "./slots.ts";

export interface ServicePicture {
  /** For each map: key without its slot → backends of the slots. */
  readonly maps: Readonly<Record<MapName, ReadonlyMap<string, Slots>>>;
  readonly sets: Readonly<Record<ServiceSetName, ReadonlySet<string>>>;
}

export const emptyServices: ServicePicture = {
  maps: emptyMaps(),
  sets: { ports: new Set(), hairpin: new Set(), hairpin6: new Set() },
};

export function emptyMaps(): Record<MapName, Map<string, Slots>> {
  const entries = mapNames.map((name) => [name, new Map<string, Slots>()]);
  return Object.fromEntries(entries) as Record<MapName, Map<string, Slots>>;
}
