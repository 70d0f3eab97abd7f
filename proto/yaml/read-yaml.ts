/**
 * One YAML document → its node. Values are those that Docker's reader finds: YAML 1.2's core schema, merge keys, and YAML
 * 1.1's octal numbers; `yes` and `22:22` are strings. Everything about it is bounded: its size, its depth, and what its
 * aliases expand to. Keys are texts, each there once.
 */
import {
  EVENT_ID,
  type Event,
  floatCoreTag,
  getScalarValue,
  NOT_RESOLVED,
  parseEvents,
  SCALAR_STYLE,
  YAMLException,
} from "js-yaml";
import { Fault } from "../fault.ts";
import {
  describePlace,
  type Entry,
  type ListNode,
  type MapNode,
  type MergeTag,
  type Node,
  type Place,
  type Scalar,
  type ScalarNode,
  Source,
} from "./node.ts";

const bytesMax = 10 * 1024 * 1024;
const depthMax = 100;
/** Values in the document, each counted as often as aliases repeat it; long texts count as several. */
const valuesMax = 1_000_000;
const lengthOfValue = 100;

export function readYaml(text: string, file: string): Node {
  const source = new Source(file, text.replace(/^\uFEFF/, ""));
  if (Buffer.byteLength(text) > bytesMax) {
    throw refusal(file, `is larger than ${bytesMax / 1024 / 1024} MiB`);
  }
  try {
    const events = parseEvents(source.text, { maxDepth: depthMax });
    const count = events.filter((event) => event.type === EVENT_ID.DOCUMENT).length;
    if (count === 0) throw refusal(file, "is empty");
    if (count > 1) throw refusal(file, `holds ${count} YAML documents instead of one`);
    return new NodeReader(source, events).read(0).node;
  } catch (thrown) {
    if (thrown instanceof YAMLException) throw syntaxFault(file, thrown);
    throw thrown;
  }
}

interface Anchored {
  readonly node: Node;
  /** How many collections are inside of one another. */
  readonly height: number;
  readonly values: number;
}

type Tagged = Extract<Event, { tagStart: number }>;
type ScalarEvent = Extract<Event, { type: typeof EVENT_ID.SCALAR }>;

/** Follows the events of a document that is known to be well-formed. */
class NodeReader {
  readonly #source: Source;
  readonly #events: readonly Event[];
  /** Undefined while what the anchor names is not complete. */
  readonly #anchors = new Map<string, Anchored | undefined>();
  #next = 1;
  #offset = 0;
  #values = 0;

  constructor(source: Source, events: readonly Event[]) {
    this.#source = source;
    this.#events = events;
  }

  read(depth: number): Anchored {
    const event = this.#events[this.#next];
    this.#next += 1;
    const before = this.#values;
    this.#count(1);
    if (event === undefined || event.type === EVENT_ID.POP || event.type === EVENT_ID.DOCUMENT) {
      return { node: this.#scalar(null), height: 0, values: 1 };
    }
    if (event.type === EVENT_ID.ALIAS) return this.#aliased(event, depth);
    const anchor = this.#source.text.slice(event.anchorStart, event.anchorEnd);
    if (event.anchorStart >= 0) this.#anchors.set(anchor, undefined);
    const { node, height } = this.#collectionOrScalar(event, depth);
    const read = { node, height, values: this.#values - before };
    if (event.anchorStart >= 0) this.#anchors.set(anchor, read);
    return read;
  }

  #aliased(event: { anchorStart: number; anchorEnd: number }, depth: number): Anchored {
    this.#offset = event.anchorStart;
    const name = this.#source.text.slice(event.anchorStart, event.anchorEnd);
    const anchored = this.#anchors.get(name);
    if (anchored === undefined) {
      const what = this.#anchors.has(name) ? "stands inside of what it names" : "names nothing";
      throw this.#fault(`the alias *${name} ${what}`);
    }
    this.#count(anchored.values);
    if (depth + anchored.height > depthMax * 2) throw this.#fault("nesting is too deep");
    return anchored;
  }

  #collectionOrScalar(event: Tagged, depth: number): Omit<Anchored, "values"> {
    if (event.type === EVENT_ID.SCALAR) {
      if (event.valueStart >= 0) this.#offset = scalarStart(event);
      return { node: this.#readScalar(event), height: 0 };
    }
    this.#offset = event.start;
    const tag = this.#mergeTag(event);
    return event.type === EVENT_ID.SEQUENCE
      ? this.#readList(tag, depth + 1)
      : this.#readMap(tag, depth + 1);
  }

  #readList(tag: Pick<Node, "tag">, depth: number): Omit<Anchored, "values"> {
    const place = this.#place();
    const items: Node[] = [];
    let height = 0;
    while (this.#more()) {
      const item = this.read(depth);
      items.push(item.node);
      height = Math.max(height, item.height);
    }
    const node: ListNode = { kind: "list", place, items, ...tag };
    return { node, height: height + 1 };
  }

  #readMap(tag: Pick<Node, "tag">, depth: number): Omit<Anchored, "values"> {
    const place = this.#place();
    const entries = new Map<string, Entry>();
    const merged: Node[] = [];
    let height = 0;
    while (this.#more()) {
      const isMerge = this.#isMergeKey();
      const { node: key } = this.read(depth);
      const keyPlace = key.place;
      const value = this.read(depth);
      height = Math.max(height, value.height);
      const name = keyText(key);
      if (name === undefined) throw faultAt(keyPlace, "a key must be a word; {{…}} goes in quotes");
      if (entries.has(name) || (isMerge && merged.length > 0)) {
        throw faultAt(keyPlace, `the key "${name}" is there twice`);
      }
      if (isMerge) merged.push(...this.#mergeSources(value.node, keyPlace));
      else entries.set(name, { place: keyPlace, value: value.node });
    }
    for (const other of merged) addMissing(entries, other);
    const node: MapNode = { kind: "map", place, entries, ...tag };
    return { node, height: height + 1 };
  }

  /** What `<<` brings in: a map, or a list of them. */
  #mergeSources(value: Node, place: Place): readonly Node[] {
    const sources = value.kind === "list" ? value.items : [value];
    if (sources.every((source) => source.kind === "map")) return sources;
    throw faultAt(place, "<< must be a map or a list of maps");
  }

  #readScalar(event: ScalarEvent): ScalarNode {
    const written = getScalarValue(this.#source.text, event);
    this.#count(Math.floor(written.length / lengthOfValue));
    const plain = event.style === SCALAR_STYLE.PLAIN;
    const rawTag = this.#tagOf(event);
    const name = /^!<?(?:tag:yaml\.org,2002:|!)(\w+)>?$/.exec(rawTag)?.[1];
    if (name !== undefined) {
      const value = name === "str" ? written : resolveScalar(written);
      if (!Object.hasOwn(scalarTags, name) || !scalarTags[name]?.(value)) {
        throw this.#fault(`"${written}" is no ${rawTag}`);
      }
      return { ...this.#scalar(value), written };
    }
    const value = plain && rawTag !== "!" ? resolveScalar(written) : written;
    return { ...this.#scalar(value), written, ...(rawTag !== "!" && this.#mergeTag(event)) };
  }

  #mergeTag(event: Tagged): { tag?: MergeTag } {
    const tag = this.#tagOf(event);
    if (tag === "!reset" || tag === "!override") return { tag };
    if (tag === "" || /^!(?:!|<tag:yaml\.org,2002:)(?:map|seq)>?$/.test(tag)) return {};
    throw this.#fault(`the tag ${tag} is not known: use !reset or !override`);
  }

  #tagOf({ tagStart, tagEnd }: Tagged): string {
    return tagStart < 0 ? "" : this.#source.text.slice(tagStart, tagEnd);
  }

  #isMergeKey(): boolean {
    const event = this.#events[this.#next];
    if (event?.type !== EVENT_ID.SCALAR || event.style !== SCALAR_STYLE.PLAIN) return false;
    return this.#source.text.slice(event.valueStart, event.valueEnd) === "<<";
  }

  /** Steps over the end of the present collection when it has come. */
  #more(): boolean {
    if (this.#events[this.#next]?.type !== EVENT_ID.POP) return this.#next < this.#events.length;
    this.#next += 1;
    return false;
  }

  #count(values: number): void {
    this.#values += values;
    if (this.#values <= valuesMax) return;
    throw refusal(this.#source.file, `holds more than ${valuesMax} values, aliases expanded`);
  }

  #scalar(value: Scalar): ScalarNode {
    return { kind: "scalar", place: this.#place(), value };
  }

  #place(): Place {
    return { source: this.#source, offset: this.#offset };
  }

  #fault(message: string): Fault {
    return faultAt(this.#place(), message);
  }
}

/** With its quote, if it has one. */
function scalarStart({ valueStart, style }: ScalarEvent): number {
  const isQuoted = style === SCALAR_STYLE.SINGLE_QUOTED || style === SCALAR_STYLE.DOUBLE_QUOTED;
  return isQuoted ? valueStart - 1 : valueStart;
}

const scalarTags: Readonly<Record<string, (value: Scalar) => boolean>> = {
  str: (value) => typeof value === "string",
  int: (value) => Number.isInteger(value),
  float: (value) => typeof value === "number",
  bool: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

const words = new Map<string, Scalar>([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
  ...["true", "True", "TRUE"].map((word) => [word, true] as const),
  ...["false", "False", "FALSE"].map((word) => [word, false] as const),
]);

/** What a plain scalar stands for. */
function resolveScalar(text: string): Scalar {
  const word = words.get(text);
  if (word !== undefined) return word;
  const { sign, digits } = /^(?<sign>[-+]?)(?<digits>\d[\w]*)$/.exec(text)?.groups ?? {};
  const whole = digits === undefined ? undefined : wholeNumber(digits.replaceAll("_", ""));
  if (whole !== undefined) return sign === "-" ? -whole : whole;
  const float = floatCoreTag.resolve(text, false, floatCoreTag.tagName);
  return float === NOT_RESOLVED ? text : float;
}

function wholeNumber(digits: string): number | undefined {
  if (/^(?:0|[1-9]\d*|0x[\da-f]+|0o[0-7]+|0b[01]+)$/i.test(digits)) return Number(digits);
  return /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function keyText(key: Node): string | undefined {
  if (key.kind !== "scalar" || key.value === null) return undefined;
  return key.written ?? String(key.value);
}

function addMissing(entries: Map<string, Entry>, other: Node): void {
  if (other.kind !== "map") return;
  for (const [key, entry] of other.entries) {
    if (!entries.has(key)) entries.set(key, entry);
  }
}

function syntaxFault(file: string, { reason, mark }: YAMLException): Fault {
  const place = mark === undefined ? "" : `:${mark.line + 1}:${mark.column + 1}`;
  const advice = reason.includes("tab character") ? ": indent with spaces" : "";
  return refusal(`${file}${place}`, `${reason}${advice}`);
}

function faultAt(place: Place, message: string): Fault {
  return refusal(describePlace(place), message);
}

function refusal(where: string, message: string): Fault {
  return new Fault("invalid-argument", `${where}: ${message}`);
}
