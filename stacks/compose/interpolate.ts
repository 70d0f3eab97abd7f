/**
 * Dollar signs in a stack file stand for variables of the shell, and `$$` for a dollar sign. Variables are not replaced
 * yet, so one is refused at its place rather than handed to a container as it stands.
 */
import { Fault } from "#proto/fault.ts";
import { describePlace, type Entry, type MapNode, type Node, type ScalarNode } from "./node.ts";

/** The parts of a stack file in which Docker replaces variables. */
const sections = ["services", "networks", "volumes", "secrets", "configs"];

export function resolveDollars(root: Node): Node {
  if (root.kind !== "map") return root;
  return mapEntries(root, (key, node) => (sections.includes(key) ? resolved(node, key) : node));
}

function resolved(node: Node, path: string): Node {
  switch (node.kind) {
    case "scalar":
      return resolvedScalar(node, path);
    case "list":
      return {
        ...node,
        items: node.items.map((item, index) => resolved(item, `${path}.${index}`)),
      };
    case "map":
      return mapEntries(node, (key, child) => resolved(child, `${path}.${key}`));
  }
}

function resolvedScalar(node: ScalarNode, path: string): ScalarNode {
  if (typeof node.value !== "string") return node;
  const variable = /\$(?!\$)(?:\{[^}]*\}|\w+)?/.exec(node.value.replaceAll("$$", "  "));
  if (variable !== null) {
    const advice = "write $$ for a dollar sign; variables are not replaced yet";
    const place = describePlace(node.place);
    throw new Fault("invalid-argument", `${place}: ${path} holds "${variable[0]}": ${advice}`);
  }
  return { ...node, value: node.value.replaceAll("$$", () => "$") };
}

function mapEntries(node: MapNode, change: (key: string, value: Node) => Node): MapNode {
  const entries = Array.from(node.entries, ([key, entry]): [string, Entry] => [
    key,
    { ...entry, value: change(key, entry.value) },
  ]);
  return { ...node, entries: new Map(entries) };
}
