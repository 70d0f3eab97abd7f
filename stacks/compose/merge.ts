/**
 * Two files in their normal form → one: what the later one says wins. Maps are merged key by key; lists are appended, those
 * of ports, mounts, secrets and configs by what makes an item the same; commands, tests and aliases are replaced. A value that is
 * tagged `!override` replaces, and `!reset` removes.
 */
import {
  childOf,
  type Entry,
  type ListNode,
  type MapNode,
  type Node,
  type Path,
  textOf,
} from "#proto/yaml/node.ts";

type ItemKey = (item: Node) => string;

/** Below a service: what makes two items the same. */
const itemKeys = new Map<string, ItemKey>([
  ["ports", portKey],
  ["volumes", (item) => text(item, "target")],
  ["secrets", (item) => text(item, "source")],
  ["configs", (item) => text(item, "source")],
]);

/** Below a service: lists that are one thing. */
const replaced = /^(?:command|entrypoint|healthcheck\.test|networks\.[^.]*\.aliases)$/;

export function mergeFiles(base: MapNode, over: MapNode): MapNode {
  return mergeMaps(base, over, []);
}

/** What a service says beside what the service says that it extends. */
export function mergeServices(base: Node, over: Node): Node {
  return merged(base, over, ["services", ""]) ?? over;
}

/** Undefined where nothing is left. */
function merged(base: Node, over: Node, path: Path): Node | undefined {
  if (over.tag === "!reset") return undefined;
  if (over.tag === "!override" || base.tag === "!reset") return over;
  if (over.kind === "scalar") return over.value === null ? base : over;
  if (base.kind === "map" && over.kind === "map") {
    return standsAlone(base, over, path) ? over : mergeMaps(base, over, path);
  }
  if (base.kind === "list" && over.kind === "list") return mergeLists(base, over, path);
  return over;
}

function mergeMaps(base: MapNode, over: MapNode, path: Path): MapNode {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const below = base.entries.get(key);
    const value =
      below === undefined ? entry.value : merged(below.value, entry.value, [...path, key]);
    if (value === undefined) entries.delete(key);
    else entries.set(key, value === below?.value ? below : { place: entry.place, value });
  }
  return { ...base, entries };
}

/** Maps of which the later one has nothing to do with the earlier one. */
function standsAlone(base: MapNode, over: MapNode, path: Path): boolean {
  const [section, , key, ...below] = path;
  if (section === "services") {
    if (key === "ulimits" && below.length === 1) return true;
    const drivers = [text(base, "driver"), text(over, "driver")];
    const [before, after] = drivers;
    return key === "logging" && !drivers.includes("") && before !== after;
  }
  if (path.length !== 2) return false;
  const sources = ["external", "file", "environment", "content"];
  const names = (node: MapNode) => sources.some((source) => node.entries.has(source));
  // Of a network or volume only `external` says where it comes from.
  return names(over) || base.entries.has("external");
}

function mergeLists(base: ListNode, over: ListNode, path: Path): ListNode {
  const [section, , ...keys] = path;
  const key = keys.join(".");
  if (section !== "services" || replaced.test(key)) return over;
  const itemKey = itemKeys.get(key) ?? scalarKey;
  const groups = ({ items }: ListNode) => Map.groupBy(items, (item) => itemKey(item) || item);
  return { ...over, items: [...new Map([...groups(base), ...groups(over)]).values()].flat() };
}

/** Nothing makes two maps the same. */
function scalarKey(item: Node): string {
  return item.kind === "scalar" ? textOf(item) : "";
}

function portKey(item: Node): string {
  const [published, target] = [text(item, "published"), text(item, "target")];
  const number = published === "" ? `to ${target}` : published;
  return [number, text(item, "protocol") || "tcp", text(item, "host_ip")].join("/");
}

function text(node: Node, key: string): string {
  const child = childOf(node, key);
  return child === undefined ? "" : textOf(child);
}

/** Without tags, when there is nothing more to be merged: what is to be reset is not there. */
export function settle(node: Node): Node {
  switch (node.kind) {
    case "scalar":
      return node;
    case "list":
      return { ...node, items: node.items.filter((item) => item.tag !== "!reset").map(settle) };
    case "map": {
      const entries = new Map<string, Entry>();
      for (const [key, entry] of node.entries) {
        if (entry.value.tag !== "!reset")
          entries.set(key, { ...entry, value: settle(entry.value) });
      }
      return { ...node, entries };
    }
  }
}
