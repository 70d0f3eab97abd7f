/**
 * One YAML document that still knows where everything in it was written, so that whoever checks it can point at the line.
 * Values are those of YAML 1.2's core schema plus merge keys. Everything about it is bounded: its size, depth, aliases,
 * and what the aliases expand to.
 */
import {
  CORE_SCHEMA,
  constructFromEvents,
  EVENT_ID,
  type Event,
  getScalarValue,
  mergeTag,
  parseEvents,
  SCALAR_STYLE,
  YAMLException,
} from "js-yaml";
import { Fault } from "#proto/fault.ts";

export type Path = readonly string[];

const yamlBytesMax = 10 * 1024 * 1024;
const depthMax = 100;
const aliasesMax = 1000;
/** Values in the document, each counted as often as aliases repeat it. */
const valuesMax = 100_000;

const schema = CORE_SCHEMA.withTags(mergeTag);

/** Where a node was written. Aliases share the node that they name, so this tree stays as small as the file. */
interface Mark {
  readonly offset: number;
  /** A scalar as it was written. */
  readonly text: string | undefined;
  readonly entries: ReadonlyMap<string, Entry>;
  /** What `<<` brings in; the mapping's own entries win. */
  readonly merged: readonly Mark[];
}

interface Entry {
  /** Of the key; of the item in sequences. */
  readonly offset: number;
  readonly value: Mark;
}

export class YamlDocument {
  readonly value: unknown;
  readonly #source: string;
  readonly #file: string;
  readonly #root: Mark;

  constructor(source: string, file: string) {
    this.#source = source;
    this.#file = file;
    if (Buffer.byteLength(source) > yamlBytesMax) {
      throw this.#refusal(undefined, `is larger than ${yamlBytesMax / 1024 / 1024} MiB`);
    }
    try {
      const events = parseEvents(source, { maxDepth: depthMax });
      const documents = constructFromEvents(events, { source, schema, maxAliases: aliasesMax });
      if (documents.length !== 1) {
        throw this.#refusal(undefined, `holds ${documents.length} YAML documents instead of one`);
      }
      [this.value] = documents;
      this.#root = new MarkReader(source, events).readDocument();
    } catch (thrown) {
      if (thrown instanceof YAMLException) throw this.#syntaxFault(thrown);
      throw thrown;
    }
    if (countValues(this.value) > valuesMax) {
      throw this.#refusal(
        undefined,
        `expands to more than ${valuesMax} values through its aliases`,
      );
    }
  }

  /** A refusal of what stands at `path`: `stack.yml:7: services.web.ports is not supported`. */
  fault(path: Path, complaint: string): Fault {
    return this.#refusal(this.offset(path), `${path.join(".") || "the file"} ${complaint}`);
  }

  /** Where the key (or item) at `path` stands; if it is nowhere to be seen, the nearest of its ancestors. */
  offset(path: Path): number {
    let offset = this.#root.offset;
    let mark: Mark | undefined = this.#root;
    for (const segment of path) {
      const entry: Entry | undefined = mark === undefined ? undefined : findEntry(mark, segment);
      if (entry === undefined) break;
      offset = entry.offset;
      mark = entry.value;
    }
    return offset;
  }

  /** The scalar at `path` as its author wrote it: "0440" where its value is the number 440. */
  text(path: Path): string | undefined {
    let mark: Mark | undefined = this.#root;
    for (const segment of path) {
      mark = mark === undefined ? undefined : findEntry(mark, segment)?.value;
    }
    return mark?.text;
  }

  #refusal(offset: number | undefined, message: string): Fault {
    const line = offset === undefined ? "" : `:${lineAt(this.#source, offset)}`;
    return new Fault("invalid-argument", `${this.#file}${line}: ${message}`);
  }

  #syntaxFault({ reason, mark }: YAMLException): Fault {
    const place = mark === undefined ? "" : `:${mark.line + 1}:${mark.column + 1}`;
    const advice = reason.includes("tab character") ? ": indent with spaces" : "";
    return new Fault("invalid-argument", `${this.#file}${place}: ${reason}${advice}`);
  }
}

/** Follows the events of a document that is known to be well-formed. */
class MarkReader {
  readonly #source: string;
  readonly #events: readonly Event[];
  readonly #anchors = new Map<string, Mark>();
  #next = 0;
  #offset = 0;

  constructor(source: string, events: readonly Event[]) {
    this.#source = source;
    this.#events = events;
  }

  readDocument(): Mark {
    this.#next = this.#events.findIndex((event) => event.type === EVENT_ID.DOCUMENT) + 1;
    return this.#read();
  }

  #read(): Mark {
    const event = this.#events[this.#next];
    this.#next += 1;
    switch (event?.type) {
      case EVENT_ID.SCALAR: {
        if (event.valueStart >= 0) this.#offset = event.valueStart;
        return this.#anchored(event, leaf(this.#offset, getScalarValue(this.#source, event)));
      }
      case EVENT_ID.SEQUENCE:
        this.#offset = event.start;
        return this.#anchored(event, this.#readSequence());
      case EVENT_ID.MAPPING:
        this.#offset = event.start;
        return this.#anchored(event, this.#readMapping());
      case EVENT_ID.ALIAS: {
        this.#offset = event.anchorStart;
        return (
          this.#anchors.get(this.#source.slice(event.anchorStart, event.anchorEnd)) ??
          leaf(this.#offset)
        );
      }
      default:
        return leaf(this.#offset);
    }
  }

  #readSequence(): Mark {
    const offset = this.#offset;
    const entries = new Map<string, Entry>();
    for (let index = 0; this.#more(); index += 1) {
      const value = this.#read();
      entries.set(String(index), { offset: value.offset, value });
    }
    return { offset, text: undefined, entries, merged: [] };
  }

  #readMapping(): Mark {
    const offset = this.#offset;
    const entries = new Map<string, Entry>();
    const merged: Mark[] = [];
    while (this.#more()) {
      const plain = this.#isPlain();
      const key = this.#read();
      const value = this.#read();
      if (key.text === "<<" && plain)
        merged.push(value, ...Array.from(value.entries.values(), (item) => item.value));
      else if (key.text !== undefined) entries.set(key.text, { offset: key.offset, value });
    }
    return { offset, text: undefined, entries, merged };
  }

  /** Steps over the end of the present collection when it has come. */
  #more(): boolean {
    if (this.#events[this.#next]?.type !== EVENT_ID.POP) return this.#next < this.#events.length;
    this.#next += 1;
    return false;
  }

  #isPlain(): boolean {
    const event = this.#events[this.#next];
    return event?.type === EVENT_ID.SCALAR && event.style === SCALAR_STYLE.PLAIN;
  }

  #anchored(event: { anchorStart: number; anchorEnd: number }, mark: Mark): Mark {
    if (event.anchorStart >= 0) {
      this.#anchors.set(this.#source.slice(event.anchorStart, event.anchorEnd), mark);
    }
    return mark;
  }
}

function leaf(offset: number, text?: string): Mark {
  return { offset, text, entries: new Map(), merged: [] };
}

function findEntry(mark: Mark, segment: string): Entry | undefined {
  const own = mark.entries.get(segment);
  if (own !== undefined) return own;
  for (const merged of mark.merged) {
    const entry = findEntry(merged, segment);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** Stops counting above the limit; an alias to what contains it counts as above. */
function countValues(value: unknown, depth = 0): number {
  if (depth > depthMax * 2) return valuesMax + 1;
  if (typeof value !== "object" || value === null) return 1;
  let count = 1;
  for (const child of Object.values(value)) {
    count += countValues(child, depth + 1);
    if (count > valuesMax) break;
  }
  return count;
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split(/\r\n|\r|\n/).length;
}
