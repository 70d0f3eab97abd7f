/**
 * A value of a YAML file that still knows where it was written, so that whoever checks it can point at the place. Nodes
 * never change: what aliases repeat is shared, and each step of loading makes new ones where something differs.
 */
import { Fault } from "../fault.ts";

export type Scalar = string | number | boolean | null;

/** A file's text, whose lines are found only when somebody asks for one. */
export class Source {
  /** What refusals call the file. */
  readonly file: string;
  readonly text: string;
  #starts: readonly number[] | undefined;

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
  }

  /** `FILE:LINE:COLUMN`, both counted from 1. */
  describe(offset: number): string {
    this.#starts ??= [0, ...Array.from(this.text.matchAll(/\r\n|\r|\n/g), lineAfter)];
    let [low, high] = [0, this.#starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return `${this.file}:${low + 1}:${offset - (this.#starts[low] ?? 0) + 1}`;
  }
}

function lineAfter({ index, 0: end }: RegExpExecArray): number {
  return index + end.length;
}

export interface Place {
  readonly source: Source;
  readonly offset: number;
}

/** What a later file does with the earlier one's value: forgets it, or takes its place without being merged. */
export type MergeTag = "!reset" | "!override";

interface NodeBase {
  readonly place: Place;
  readonly tag?: MergeTag;
}

export interface ScalarNode extends NodeBase {
  readonly kind: "scalar";
  readonly value: Scalar;
  /** As its author wrote it: "0440" where the value is the number 288. Undefined where nobody wrote it. */
  readonly written?: string;
}

export interface ListNode extends NodeBase {
  readonly kind: "list";
  readonly items: readonly Node[];
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, Entry>;
}

export interface Entry {
  /** Of the key. */
  readonly place: Place;
  readonly value: Node;
}

export type Node = ScalarNode | ListNode | MapNode;

export type Path = readonly string[];

/** `Object.fromEntries` defines keys, so one named "__proto__" stays a key like any other. */
export function toValue(node: Node): unknown {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(toValue);
    case "map":
      return Object.fromEntries(
        Array.from(node.entries, ([key, entry]) => [key, toValue(entry.value)]),
      );
  }
}

export function scalarNode(place: Place, value: Scalar): ScalarNode {
  return { kind: "scalar", place, value, ...(value !== null && { written: String(value) }) };
}

/** A map with these entries, those that are undefined left out. */
export function mapNode(place: Place, values: Readonly<Record<string, Node | undefined>>): MapNode {
  const entries = new Map<string, Entry>();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) entries.set(key, { place: value.place, value });
  }
  return { kind: "map", place, entries };
}

export function listNode(place: Place, items: readonly Node[]): ListNode {
  return { kind: "list", place, items };
}

/** A scalar's text as its author wrote it; empty where there is nothing. */
export function textOf(node: Node): string {
  if (node.kind !== "scalar" || node.value === null) return "";
  return typeof node.value === "string" ? node.value : (node.written ?? String(node.value));
}

export function childOf(node: Node | undefined, key: string): Node | undefined {
  return node?.kind === "map" ? node.entries.get(key)?.value : undefined;
}

/** The map with other values under its keys; a key whose value becomes undefined goes. */
export function mapEntries(
  node: MapNode,
  change: (value: Node, key: string) => Node | undefined,
): MapNode {
  const entries = new Map<string, Entry>();
  for (const [key, entry] of node.entries) {
    const value = change(entry.value, key);
    if (value !== undefined) entries.set(key, value === entry.value ? entry : { ...entry, value });
  }
  return { ...node, entries };
}

/** A refusal of what stands at `path`: `stack.yml:7:5: services.web.ports is not supported`. */
export function refusalAt(place: Place, path: Path, complaint: string): Fault {
  const what = path.join(".") || "the file";
  return new Fault("invalid-argument", `${describePlace(place)}: ${what} ${complaint}`);
}

export function describePlace({ source, offset }: Place): string {
  return source.describe(offset);
}
