/** Services that belong to profiles are there only when one of theirs is asked for. */
import {
  childOf,
  mapEntries,
  type MapNode,
  type Node,
  refusalAt,
  textOf,
} from "#proto/yaml/node.ts";

export function withProfiles(root: MapNode, wanted: readonly string[]): MapNode {
  const services = childOf(root, "services");
  if (services?.kind !== "map" || wanted.includes("*")) return root;
  const active = mapEntries(services, (service) => {
    const profiles = profilesOf(service);
    const isActive = profiles.length === 0 || profiles.some((name) => wanted.includes(name));
    return isActive ? service : undefined;
  });
  for (const [key, { value }] of active.entries)
    checkDependencies(key, value, { services, active });
  return mapEntries(root, (section) => (section === services ? active : section));
}

function profilesOf(service: Node | undefined): readonly string[] {
  const profiles = childOf(service, "profiles");
  return profiles?.kind === "list" ? profiles.items.map(textOf) : [];
}

/** Nobody waits for a service that is left out, but where the file says that it need not be there. */
function checkDependencies(
  key: string,
  service: Node,
  { services, active }: { readonly services: MapNode; readonly active: MapNode },
): void {
  const dependencies = childOf(service, "depends_on");
  if (dependencies?.kind !== "map") return;
  for (const [on, { place, value }] of dependencies.entries) {
    const required = childOf(value, "required");
    const isOptional = required?.kind === "scalar" && required.value === false;
    if (isOptional || active.entries.has(on) || !services.entries.has(on)) continue;
    const profiles = profilesOf(childOf(services, on)).join(", ");
    const complaint = `names a service of profiles that nobody asked for: ${profiles}`;
    throw refusalAt(place, ["services", key, "depends_on", on], complaint);
  }
}
