/**
 * A checked file → its normal form: maps and long forms where the format also has lists and short forms, durations and
 * sizes in one notation, relative paths made absolute. Files are merged in this form, so that merging has one rule for each
 * key. Null stands only for a variable without a value, a network without a word, and the image's own command.
 */
import { resolve } from "node:path";
import { Fault } from "#proto/fault.ts";
import { parseSizeBytes } from "#proto/size.ts";
import { parseDurationMs } from "#proto/time.ts";
import { parseMode } from "../host-access-words.ts";
import { parseShellWords } from "../shell-words.ts";
import { durationText } from "./duration-text.ts";
import { readFiles } from "./env-files.ts";
import {
  childOf,
  type Entry,
  listNode,
  mapEntries,
  type MapNode,
  mapNode,
  type Node,
  type Path,
  type Place,
  refusalAt,
  scalarNode,
  textOf,
} from "#proto/yaml/node.ts";
import { longMount } from "./normal-mounts.ts";
import { longPorts } from "./normal-ports.ts";

export interface NormalOptions {
  /** To which relative paths are relative. */
  readonly folder: string;
  readonly variables: Variables;
  /** Told of a variable in an env file that stands for nothing, and where. */
  readonly onUnset: (name: string, where: string) => void;
  /** Told of what means nothing in a cluster, and where. */
  readonly onUnheeded: (what: string) => void;
  /** The content of a file. */
  readonly readText: (path: string) => string;
  /** Whether `$` still stands for variables: what cannot be read for that reason stays as it is. */
  readonly raw: boolean;
}

/** The value of a variable; undefined where it is not set. */
export type Variables = (name: string) => string | undefined;

/** Undefined where the key shall go. */
export type Transform = (node: Node, path: Path, options: NormalOptions) => Node | undefined;

type Shape = Transform | { readonly [key: string]: Shape };

const deployShape: Shape = {
  labels: pairs(""),
  resources: {
    limits: { cpus: string, memory: size },
    reservations: { cpus: string, memory: size, devices: each({ options: pairs("") }) },
  },
  restart_policy: { delay: duration, window: duration },
  update_config: { delay: duration, monitor: duration, "x-progress-deadline": duration },
  rollback_config: { delay: duration, monitor: duration, "x-progress-deadline": duration },
};

const referenceShape: Shape = { uid: string, gid: string, mode };

const serviceShape: Shape = {
  annotations: pairs(""),
  build: contextOf,
  command: commandWords,
  configs: each(sourceOf, referenceShape),
  cpus: string,
  depends_on: dependencies,
  deploy: deployShape,
  devices: each(deviceText),
  dns: wordList,
  dns_search: wordList,
  entrypoint: commandWords,
  env_file: wordList,
  environment: pairs(null),
  expose: each(string),
  extra_hosts: extraHosts,
  group_add: each(string),
  healthcheck: {
    test: healthTest,
    interval: duration,
    timeout: duration,
    start_period: duration,
    start_interval: duration,
  },
  label_file: wordList,
  labels: pairs(""),
  logging: { options: pairs("") },
  mem_limit: size,
  mem_reservation: size,
  memswap_limit: size,
  networks: attachments,
  ports: longPorts,
  secrets: each(sourceOf, referenceShape),
  shm_size: string,
  stop_grace_period: duration,
  sysctls: pairs(""),
  tmpfs: wordList,
  user: string,
  volumes: each(longMount, { tmpfs: { mode }, volume: { labels: pairs("") } }),
};

const fileShape: Shape = { labels: pairs(""), driver_opts: pairs(""), file: absolutePath };

const fileShapes: Shape = {
  services: { "*": serviceShape },
  networks: {
    "*": { labels: pairs(""), driver_opts: pairs(""), ipam: { options: pairs("") } },
  },
  volumes: { "*": { labels: pairs(""), driver_opts: pairs("") } },
  secrets: { "*": fileShape },
  configs: { "*": fileShape },
};

/** `root` is what the schema allows. */
export function normalForm(root: MapNode, options: NormalOptions): MapNode {
  const shaped = shape(root, [], { shape: fileShapes, options });
  if (shaped?.kind !== "map") return root;
  return mapEntries(shaped, (section, key) => {
    if (isNothing(section)) return undefined;
    if (section.kind !== "map") return section;
    if (key === "services") {
      return mapEntries(section, (service, name) => withFiles(service, [key, name], options));
    }
    const isTop = ["networks", "volumes", "secrets", "configs"].includes(key);
    return isTop ? mapEntries(section, (node, name) => externalNamed(node, [key, name])) : section;
  });
}

interface Shaping {
  readonly shape: Shape;
  readonly options: NormalOptions;
}

function shape(node: Node, path: Path, { shape: wanted, options }: Shaping): Node | undefined {
  if (node.tag === "!reset") return node;
  if (typeof wanted === "function") return tagged(wanted(node, path, options), node);
  if (node.kind !== "map") return node;
  return mapEntries(node, (child, key) => {
    const inner = (Object.hasOwn(wanted, key) ? wanted[key] : undefined) ?? wanted["*"];
    if (inner === undefined) return child;
    if (key === "deploy" && isNothing(child)) return undefined;
    return shape(child, [...path, key], { shape: inner, options });
  });
}

/** Null, and not as a word to reset what earlier files say. */
function isNothing(node: Node): boolean {
  return node.kind === "scalar" && node.value === null && node.tag === undefined;
}

function tagged(node: Node | undefined, { tag }: Node): Node | undefined {
  return node === undefined || tag === undefined ? node : { ...node, tag };
}

/** Every item of a list, by each of these in turn. */
function each(...shapes: readonly Shape[]): Transform {
  return (node, path, options) => {
    if (node.kind !== "list") return node;
    const items = node.items.flatMap((item, index) => {
      const inside = [...path, String(index)];
      const shapeOne = (one: Node | undefined, wanted: Shape) =>
        one && shape(one, inside, { shape: wanted, options });
      return shapes.reduce<Node | undefined>(shapeOne, item) ?? [];
    });
    return { ...node, items };
  };
}

/** Reads a scalar; where it still holds variables, it stays. */
function read(parse: (text: string) => string): Transform {
  return (node, path, { raw }) => {
    const text = textOf(node);
    if (node.kind !== "scalar" || (raw && text.includes("$"))) return node;
    try {
      return scalarNode(node.place, parse(text));
    } catch (thrown) {
      throw refusalAt(node.place, path, `is refused: ${Fault.from(thrown).message}`);
    }
  };
}

function string(node: Node): Node {
  return node.kind === "scalar" ? scalarNode(node.place, textOf(node)) : node;
}

function duration(...given: Parameters<Transform>): Node | undefined {
  return read((text) => durationText(parseDurationMs(text)))(...given);
}

function size(...given: Parameters<Transform>): Node | undefined {
  return read((text) => String(parseSizeBytes(text)))(...given);
}

/** In octal digits, whatever the number's notation is. */
function mode(...given: Parameters<Transform>): Node | undefined {
  return read((text) => `0${parseMode(text).toString(8)}`)(...given);
}

function absolutePath(node: Node, _path: Path, { folder }: NormalOptions): Node {
  return scalarNode(node.place, resolve(folder, textOf(node)));
}

function wordList(node: Node): Node {
  return node.kind === "scalar" ? listNode(node.place, [node]) : node;
}

function commandWords(node: Node, path: Path, { raw }: NormalOptions): Node {
  if (node.kind !== "scalar" || node.value === null) return node;
  const text = textOf(node);
  if (raw && text.includes("$")) return node;
  try {
    const words = parseShellWords(text);
    return listNode(
      node.place,
      words.map((word) => scalarNode(node.place, word)),
    );
  } catch (thrown) {
    throw refusalAt(node.place, path, `is refused: ${Fault.from(thrown).message}`);
  }
}

function healthTest(node: Node): Node {
  if (node.kind !== "scalar") return node;
  return listNode(node.place, [scalarNode(node.place, "CMD-SHELL"), node]);
}

/** A map of texts, from a map or a list of KEY=value. */
function pairs(missing: "" | null): Transform {
  return (node) => {
    if (node.kind === "map") {
      return mapEntries(node, (value) =>
        value.tag === "!reset" ? value : pairValue(value, missing),
      );
    }
    if (node.kind !== "list") return node;
    const entries = new Map<string, Entry>();
    for (const item of node.items) {
      const [key = "", ...rest] = textOf(item).split("=");
      const value = rest.length === 0 ? missing : rest.join("=");
      entries.set(key, { place: item.place, value: scalarNode(item.place, value) });
    }
    return { kind: "map", place: node.place, entries };
  };
}

function pairValue(node: Node, missing: "" | null): Node {
  const isNull = node.kind === "scalar" && node.value === null;
  return scalarNode(node.place, isNull ? missing : textOf(node));
}

/** A map from a list of its keys. */
function keyed(node: Node, value: (place: Place) => Node): Node {
  if (node.kind !== "list") return node;
  const entries = node.items.map((item): [string, Entry] => [
    textOf(item),
    { place: item.place, value: value(item.place) },
  ]);
  return { kind: "map", place: node.place, entries: new Map(entries) };
}

function attachments(node: Node): Node {
  const networks = keyed(node, (place) => scalarNode(place, null));
  if (networks.kind !== "map") return networks;
  return mapEntries(networks, (attachment) => {
    const options = childOf(attachment, "driver_opts");
    if (options?.kind !== "map" || attachment.kind !== "map") return attachment;
    const texts = mapEntries(options, string);
    return mapEntries(attachment, (value) => (value === options ? texts : value));
  });
}

function dependencies(node: Node): Node {
  return keyed(node, (place) =>
    mapNode(place, { condition: scalarNode(place, "service_started") }),
  );
}

function sourceOf(node: Node): Node {
  return node.kind === "scalar" ? mapNode(node.place, { source: node }) : node;
}

function contextOf(node: Node): Node {
  return node.kind === "scalar" ? mapNode(node.place, { context: node }) : node;
}

function deviceText(node: Node): Node {
  if (node.kind !== "map") return node;
  const source = textOf(childOf(node, "source") ?? node);
  const target = textOf(childOf(node, "target") ?? node) || source;
  const permissions = textOf(childOf(node, "permissions") ?? node);
  const text = [source, target, ...(permissions === "" ? [] : [permissions])].join(":");
  return scalarNode(node.place, text);
}

/** `NAME:IP`, sorted where a map gives no order. */
function extraHosts(node: Node): Node {
  const written =
    node.kind === "map"
      ? Array.from(node.entries, ([name, { value }]) =>
          (value.kind === "list" ? value.items : [value]).map((item) =>
            scalarNode(item.place, `${name}:${textOf(item)}`),
          ),
        )
          .flat()
          .toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1))
      : node.kind === "list"
        ? node.items
        : [];
  const items = written.map((item) => {
    const { name, address } =
      /^(?<name>[^:=]*)[:=](?<address>[^]*)$/.exec(textOf(item))?.groups ?? {};
    if (name === undefined || address === undefined) return item;
    return scalarNode(item.place, `${name}:${address.replace(/^\[(.+)\]$/, "$1")}`);
  });
  return listNode(node.place, items);
}

/** What env files say goes into `environment`, what label files say into `labels`; the service's own words win. */
function withFiles(service: Node, path: Path, options: NormalOptions): Node {
  if (service.kind !== "map") return service;
  const entries = new Map(service.entries);
  const linesOf = (key: string) => readFiles(entries.get(key)?.value, [...path, key], options);
  const environment = linesOf("env_file");
  const labels = linesOf("label_file");
  entries.delete("env_file");
  entries.delete("label_file");
  addBelow(entries, "environment", environment);
  addBelow(entries, "labels", labels);
  const variables = entries.get("environment");
  if (variables?.value.kind === "map" && !options.raw) {
    const value = withShell(variables.value, options.variables);
    entries.set("environment", { ...variables, value });
  }
  return { ...service, entries };
}

function addBelow(entries: Map<string, Entry>, key: string, below: MapNode | undefined): void {
  if (below === undefined) return;
  const own = entries.get(key);
  if (own?.value.tag === "!reset") return;
  const above = own?.value.kind === "map" ? own.value : undefined;
  const merged = new Map([...below.entries, ...(above?.entries ?? [])]);
  const value: MapNode = { ...(above ?? below), entries: merged };
  entries.set(key, { place: own?.place ?? below.place, value });
}

function withShell(environment: MapNode, variables: Variables): MapNode {
  return mapEntries(environment, (node, key) => {
    const value = node.kind === "scalar" && node.value === null ? variables(key) : undefined;
    return value === undefined ? node : scalarNode(node.place, value);
  });
}

/** `external: {name: X}` is the old way to say `external: true` and `name: X`; a name that is not given is the key. */
function externalNamed(node: Node, path: Path): Node {
  const key = path.at(-1) ?? "";
  if (node.kind !== "map") return node.tag === undefined ? mapNode(node.place, {}) : node;
  const external = node.entries.get("external");
  if (external === undefined || external.value.tag === "!reset") return node;
  const { place, value } = external;
  const isExternal = value.kind === "map" || (value.kind === "scalar" && value.value === true);
  const entries = new Map(node.entries);
  if (!isExternal) entries.delete("external");
  else {
    const names = [childOf(value, "name"), childOf(node, "name")];
    const [name = scalarNode(place, key), other] = names.filter((one) => one !== undefined);
    if (other !== undefined) {
      throw refusalAt(place, path, "has two names: write the name beside external alone");
    }
    entries.set("name", { place: name.place, value: name });
    entries.set("external", { place, value: scalarNode(place, true) });
  }
  return { ...node, entries };
}
