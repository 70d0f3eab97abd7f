/** Variables in the values of a file → what they stand for. Keys and the version stay as they are written. */
import { Fault } from "#proto/fault.ts";
import {
  describePlace,
  mapEntries,
  type Node,
  type Path,
  refusalAt,
  scalarNode,
} from "#proto/yaml/node.ts";
import { expand } from "./template.ts";

interface Interpolation {
  readonly variables: (name: string) => string | undefined;
  /** Told of a variable that stands for nothing, and where. */
  readonly onUnset: (name: string, where: string) => void;
}

export function interpolate(root: Node, interpolation: Interpolation): Node {
  if (root.kind !== "map") return root;
  const known = new Map<Node, Node>();
  return mapEntries(root, (node, key) =>
    key === "version" ? node : interpolated(node, [key], { ...interpolation, known }),
  );
}

interface Run extends Interpolation {
  /** What aliases repeat is replaced once, and shared again. */
  readonly known: Map<Node, Node>;
}

function interpolated(node: Node, path: Path, run: Run): Node {
  const known = run.known.get(node);
  if (known !== undefined) return known;
  const made = replaced(node, path, run);
  run.known.set(node, made);
  return made;
}

function replaced(node: Node, path: Path, run: Run): Node {
  switch (node.kind) {
    case "map":
      return mapEntries(node, (child, key) => interpolated(child, [...path, key], run));
    case "list": {
      const items = node.items.map((item, index) =>
        interpolated(item, [...path, String(index)], run),
      );
      return { ...node, items };
    }
    case "scalar":
      return replacedScalar(node, path, run);
  }
}

function replacedScalar(
  node: Extract<Node, { kind: "scalar" }>,
  path: Path,
  { variables, onUnset }: Run,
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
