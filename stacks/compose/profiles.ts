/** Services that belong to profiles are there only when one of theirs is asked for. */
import { childOf, mapEntries, type MapNode, textOf } from "./node.ts";

export function withProfiles(root: MapNode, wanted: readonly string[]): MapNode {
  const services = childOf(root, "services");
  if (services?.kind !== "map" || wanted.includes("*")) return root;
  const active = mapEntries(services, (service) => {
    const profiles = childOf(service, "profiles");
    const names = profiles?.kind === "list" ? profiles.items.map(textOf) : [];
    const isActive = names.length === 0 || names.some((name) => wanted.includes(name));
    return isActive ? service : undefined;
  });
  return mapEntries(root, (section) => (section === services ? active : section));
}
