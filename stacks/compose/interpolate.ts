/** Variables in the values of a file → what they stand for. Keys and the version stay as they are written. */
import { Fault } from "#proto/fault.ts";
import { describePlace, mapEntries, type Node, type Path, refusalAt, scalarNode } from "./node.ts";
import { expand } from "./template.ts";

export interface Interpolation {
  readonly variables: (name: string) => string | undefined;
  /** Told of a variable that stands for nothing, and where. */
  readonly onUnset: (name: string, where: string) => void;
}

export function interpolate(root: Node, interpolation: Interpolation): Node {
  if (root.kind !== "map") return root;
  return mapEntries(root, (node, key) =>
    key === "version" ? node : interpolated(node, [key], interpolation),
  );
}

function interpolated(node: Node, path: Path, interpolation: Interpolation): Node {
  switch (node.kind) {
    case "map":
      return mapEntries(node, (child, key) => interpolated(child, [...path, key], interpolation));
    case "list":
      return {
        ...node,
        items: node.items.map((item, index) =>
          interpolated(item, [...path, String(index)], interpolation),
        ),
      };
    case "scalar":
      return interpolatedScalar(node, path, interpolation);
  }
}

function interpolatedScalar(
  node: Extract<Node, { kind: "scalar" }>,
  path: Path,
  { variables, onUnset }: Interpolation,
): Node {
  const { value, place } = node;
  if (typeof value !== "string" || !value.includes("$")) return node;
  const where = (name: string) => onUnset(name, `${describePlace(place)}: ${path.join(".")}`);
  try {
    const text = expand(value, { variables, onUnset: where });
    return { ...scalarNode(place, text), ...(node.tag !== undefined && { tag: node.tag }) };
  } catch (thrown) {
    throw refusalAt(place, path, Fault.from(thrown).message);
  }
}
