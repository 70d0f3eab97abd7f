/** A loaded YAML file as a tree of nodes, asked by path: where something was written, how, and what to say when it is wrong. */
import type { Fault } from "../fault.ts";
import { type Node, type Path, type Place, refusalAt } from "./node.ts";

export class YamlDocument {
  readonly root: Node;

  constructor(root: Node) {
    this.root = root;
  }

  /** A refusal of what stands at `path`: `stack.yml:7:5: services.web.ports is not supported`. */
  fault(path: Path, complaint: string): Fault {
    return refusalAt(this.place(path), path, complaint);
  }

  /** Where the key (or item) at `path` stands; if it is nowhere to be seen, the nearest of its ancestors. */
  place(path: Path): Place {
    let place = this.root.place;
    let node: Node | undefined = this.root;
    for (const segment of path) {
      const child: Child | undefined = childOf(node, segment);
      if (child === undefined) break;
      place = child.place;
      node = child.value;
    }
    return place;
  }

  /** Whether something stands at `path` itself. */
  has(path: Path): boolean {
    let node: Node | undefined = this.root;
    for (const segment of path) node = childOf(node, segment)?.value;
    return node !== undefined;
  }

  /** The scalar at `path` as its author wrote it: "0440" where its value is the number 288. */
  text(path: Path): string | undefined {
    let node: Node | undefined = this.root;
    for (const segment of path) node = childOf(node, segment)?.value;
    return node?.kind === "scalar" ? node.written : undefined;
  }
}

interface Child {
  readonly place: Place;
  readonly value: Node;
}

function childOf(node: Node | undefined, segment: string): Child | undefined {
  if (node?.kind === "map") return node.entries.get(segment);
  const item = node?.kind === "list" ? node.items[Number(segment)] : undefined;
  return item && { place: item.place, value: item };
}
