/**
 * Keys that have no meaning in a cluster. Where leaving them out changes nothing that matters there is a warning, as Docker
 * has it; where a service would be another one without them, they are refused.
 */
import { nearMiss } from "#proto/near-miss.ts";
import { deployExtensions, serviceExtensions, updateExtensions } from "./extensions.ts";
import {
  childOf,
  describePlace,
  type MapNode,
  type Node,
  type Path,
  refusalAt,
  textOf,
} from "#proto/yaml/node.ts";

/** Of services: why each is not heeded. */
export const unheededKeys: Readonly<Record<string, string>> = {
  attach: "logs are shown by service logs",
  build: "a cluster runs images: build it, push it, and name it in image",
  cgroup: "each container has a cgroup namespace of its own",
  cgroupns_mode: "each container has a cgroup namespace of its own",
  container_name: "tasks are called SERVICE.SLOT.ID",
  develop: "it is for developing on one host",
  domainname: "write the whole name in hostname",
  expose: "services on one network reach every port of one another",
  external_links: "services on one network reach one another by name",
  links: "services on one network reach one another by name",
  mac_address: "a task's address is chosen for it",
  pull_refresh_after: "images are looked up when the stack is deployed",
};

const refusedKeys: Readonly<Record<string, string>> = {
  models: "there are no models in a cluster",
  provider: "there are no providers in a cluster",
  use_api_socket: "containers get no access to the cluster: mount a socket if you mean to give it",
  volume_driver: "name the driver in volumes at the top of the file",
  volumes_from: "define the volume at the top of the file, and name it in each service",
};

/** Warnings; what is refused is thrown. */
export function checkCluster(root: MapNode): string[] {
  const warnings: string[] = [];
  const name = root.entries.get("name");
  if (name !== undefined) {
    const where = describePlace(name.place);
    warnings.push(`${where}: name is not heeded: the command says what the stack is called`);
  }
  warnings.push(...checkExternal(root));
  const services = childOf(root, "services");
  if (services?.kind !== "map") return warnings;
  for (const [key, { value }] of services.entries) {
    const path = ["services", key];
    warnings.push(...checkService(value, path), ...checkExtensions(value, path));
  }
  return warnings;
}

function checkService(service: Node, path: Path): string[] {
  if (service.kind !== "map") return [];
  const warnings: string[] = [];
  for (const [key, { place, value }] of service.entries) {
    const inside = [...path, key];
    const refused = Object.hasOwn(refusedKeys, key) ? refusedKeys[key] : networkOf(key, value);
    if (refused !== undefined) throw refusalAt(place, inside, `is not possible: ${refused}`);
    const unheeded = Object.hasOwn(unheededKeys, key)
      ? unheededKeys[key]
      : besidePolicy(key, service);
    if (unheeded === undefined) continue;
    warnings.push(`${describePlace(place)}: ${inside.join(".")} is not heeded: ${unheeded}`);
  }
  return warnings;
}

/** What others make is as they made it. */
function checkExternal(root: MapNode): string[] {
  const sections = ["networks", "volumes", "secrets", "configs"];
  return sections.flatMap((section) => {
    const entries = childOf(root, section);
    if (entries?.kind !== "map") return [];
    return Array.from(entries.entries).flatMap(([key, { value }]) => {
      if (value.kind !== "map" || !value.entries.has("external")) return [];
      const others = Array.from(value.entries).filter(
        ([name]) => name !== "name" && name !== "external" && !name.startsWith("x-"),
      );
      return others.map(([name, { place }]) => {
        const what = `${section}.${key}.${name} is not heeded`;
        return `${describePlace(place)}: ${what}: it is external, and as others have made it`;
      });
    });
  });
}

/** Keys that begin with "x-" are anybody's; one that is nearly ours was most likely meant to be. */
function checkExtensions(service: Node, path: Path): string[] {
  const deploy = childOf(service, "deploy");
  const inDeploy = [...path, "deploy"];
  const places: [Node | undefined, Path, object][] = [
    [service, path, serviceExtensions],
    [deploy, inDeploy, deployExtensions],
    [childOf(deploy, "update_config"), [...inDeploy, "update_config"], updateExtensions],
    [childOf(deploy, "rollback_config"), [...inDeploy, "rollback_config"], updateExtensions],
  ];
  return places.flatMap(([node, inside, ours]) => misspelt(node, inside, Object.keys(ours)));
}

function misspelt(node: Node | undefined, path: Path, ours: readonly string[]): string[] {
  if (node?.kind !== "map") return [];
  return Array.from(node.entries).flatMap(([key, { place }]) => {
    const isOther = key.startsWith("x-") && !ours.includes(key);
    const meant = isOther ? nearMiss(key, ours) : undefined;
    if (meant === undefined) return [];
    const where = `${describePlace(place)}: ${[...path, key].join(".")}`;
    return [`${where} is not heeded: did you mean ${meant}?`];
  });
}

function networkOf(key: string, value: Node): string | undefined {
  if (key !== "network_mode" || !/^(?:container|service):/.test(textOf(value))) return undefined;
  return "tasks share no network namespaces: put both services on one network";
}

function besidePolicy(key: string, service: MapNode): string | undefined {
  if (key !== "restart") return undefined;
  const policy = childOf(childOf(service, "deploy"), "restart_policy");
  return policy && "deploy.restart_policy says it already";
}
