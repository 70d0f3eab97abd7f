/** One of a service's `volumes`, in its short form or as a map → a map. */
import { resolve } from "node:path";
import { propagations } from "../host-access-words.ts";
import {
  childOf,
  describePlace,
  mapEntries,
  mapNode,
  type Node,
  type Path,
  refusalAt,
  scalarNode,
  textOf,
} from "#proto/yaml/node.ts";
import type { NormalOptions } from "./normal-form.ts";

export function longMount(node: Node, path: Path, options: NormalOptions): Node {
  const text = textOf(node);
  if (node.kind === "scalar" && options.raw && text.includes("$")) return node;
  const mount = node.kind === "scalar" ? fromShort(node, path, options) : node;
  const type = childOf(mount, "type");
  if (mount.kind !== "map" || type === undefined || textOf(type) !== "bind") return mount;
  return mapEntries(mount, (value, key) =>
    key === "source" ? hostPath(value, [...path, key], options) : value,
  );
}

const labelsWords =
  "no container is confined by SELinux that does not ask for it; for one that does, label what is mounted on the nodes: chcon -Rt container_file_t";

/** `[SOURCE:]TARGET[:MODE[,MODE…]]` */
function fromShort(node: Node, path: Path, { onUnheeded }: NormalOptions): Node {
  const { place } = node;
  const text = textOf(node);
  const parts = text.split(":");
  const [source = "", target = "", modes = ""] = parts.length === 1 ? ["", ...parts] : parts;
  const isEmpty = parts.some((part) => part === "");
  if (parts.length > 3 || isEmpty) {
    throw refusalAt(place, path, `is "${text}", which is not [SOURCE:]TARGET[:MODE]`);
  }
  const relabelling = modes.split(",").find((mode) => mode === "z" || mode === "Z");
  if (relabelling !== undefined) {
    const where = `${describePlace(place)}: ${path.join(".")}`;
    onUnheeded(`${where}: ${relabelling} is not heeded: ${labelsWords}`);
  }
  const isBind = /^[/.~]/.test(source);
  return mapNode(place, {
    type: scalarNode(place, isBind ? "bind" : "volume"),
    ...(source !== "" && { source: scalarNode(place, source) }),
    target: scalarNode(place, target),
    ...modesOf(node, path, modes),
  });
}

function modesOf({ place }: Node, path: Path, modes: string): Record<string, Node> {
  const found: Record<string, Node> = {};
  const inside = (key: string, value: string | boolean) =>
    mapNode(place, { [key]: scalarNode(place, value) });
  for (const mode of modes.split(",").filter((one) => one !== "")) {
    if (mode === "ro") found["read_only"] = scalarNode(place, true);
    else if (mode === "nocopy") found["volume"] = inside("nocopy", true);
    else if (Object.hasOwn(propagations, mode)) found["bind"] = inside("propagation", mode);
    else if (["cached", "delegated", "consistent"].includes(mode)) {
      found["consistency"] = scalarNode(place, mode);
      // Labels of SELinux, and what is so already.
    } else if (!["rw", "z", "Z"].includes(mode)) {
      throw refusalAt(place, path, `has the mode "${mode}", which has no meaning`);
    }
  }
  return found;
}

/** Relative to the file's folder, as Docker has it. It is a path of the hosts all the same. */
function hostPath(node: Node, path: Path, { folder, variables, raw }: NormalOptions): Node {
  const source = textOf(node);
  if (source.startsWith("{{") || (raw && source.includes("$"))) return node;
  if (source === "") throw refusalAt(node.place, path, "is empty: write what is to be bound");
  if (!source.startsWith("~")) return scalarNode(node.place, resolve(folder, source));
  const home = variables("HOME");
  if (home === undefined || !/^~(?:\/|$)/.test(source)) {
    throw refusalAt(node.place, path, `is "${source}": write a path that begins with "/"`);
  }
  return scalarNode(node.place, `${home}${source.slice(1)}`);
}
