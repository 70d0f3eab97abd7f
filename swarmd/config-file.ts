/**
 * The configuration file. Its keys are the flags' names, and its values are read as flags are, so that there is one
 * grammar: a file becomes command line arguments that know where they were written. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { type FlagDoc, phraseOf, wrapWords } from "#proto/flag-doc.ts";
import { nearMiss } from "#proto/near-miss.ts";
import { type Entry, type Node, describePlace, refusalAt, textOf } from "#proto/yaml/node.ts";
import { readYaml } from "#proto/yaml/read-yaml.ts";
import { settingDocs } from "./flags.ts";

export class ConfigFile {
  /** "--NAME=VALUE" each. */
  readonly args: readonly string[];
  readonly #entries: ReadonlyMap<string, Entry>;

  /** For `parse`. */
  constructor(args: readonly string[], entries: ReadonlyMap<string, Entry>) {
    this.args = args;
    this.#entries = entries;
  }

  /** `file`: what refusals call it. */
  static parse(text: string, file: string): ConfigFile {
    const says = text.split(/\r?\n/).some((line) => !/^\s*(?:#.*|---\s*)?$/.test(line));
    if (!says) return new ConfigFile([], new Map());
    const root = readYaml(text, file);
    if (root.kind !== "map") throw refusalAt(root.place, [], "must be a map of settings");
    const args = [...root.entries].flatMap(([key, entry]) => argsOf(key, entry));
    return new ConfigFile(args, root.entries);
  }

  /** A complaint about flags as one about the keys that said so; as it is, where none of them did. */
  located(thrown: unknown): Fault {
    const { code, message } = Fault.from(thrown);
    const flags = [...message.matchAll(/--([a-z][a-z-]*)/g)].map(([, name = ""]) => name);
    const entry = flags.map((name) => this.#entries.get(name)).find((found) => found !== undefined);
    if (entry === undefined) return Fault.from(thrown);
    const words = message.replaceAll(/--(?=[a-z])/g, "");
    return new Fault(code, `${describePlace(entry.place)}: ${words}`, { cause: thrown });
  }
}

function argsOf(key: string, { place, value }: Entry): readonly string[] {
  const doc = settingDocs.find(({ name }) => name === key);
  if (doc === undefined) {
    const names = settingDocs.map(({ name }) => name);
    const meant = nearMiss(key, names) ?? nearMiss(key.replace(/(?:ie|e)?s$/, ""), names);
    const advice = meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`;
    throw refusalAt(place, [key], `is not known: ${advice}`);
  }
  return valuesOf(doc, value).map((text) => `--${key}=${text}`);
}

function valuesOf(doc: FlagDoc, value: Node): readonly string[] {
  const path = [doc.name];
  const scalarOf = (node: Node) => {
    if (node.kind === "scalar" && node.value !== null) return wordOf(node);
    const what = node.kind === "scalar" ? "has no value" : "must be one value";
    throw refusalAt(node.place, path, `${what}: write ${doc.argument}, or leave the key out`);
  };
  if (!Array.isArray(doc.default)) return [scalarOf(value)];
  if (value.kind === "list") return value.items.map(scalarOf);
  if (value.kind === "scalar") return [scalarOf(value)];
  if (!doc.argument.includes("=")) throw refusalAt(value.place, path, "must be a list");
  return [...value.entries].map(([name, entry]) => `${name}=${scalarOf(entry.value)}`);
}

/** YAML's true and false stand for "on" and "off". */
function wordOf(node: Node): string {
  if (node.kind !== "scalar" || typeof node.value !== "boolean") return textOf(node);
  return node.value ? "on" : "off";
}

/** The file that is installed: all that it could say, nothing said. */
export function defaultConfigFile(): string {
  return `# The configuration of swarmd, this host's node of a cluster.
#
# Each key is a flag of swarmd, see swarmd(8); a flag of the command line wins. What is
# commented out has the value that it shows as its default; values after "such as" are examples.
# "swarmd --check" says whether the file is valid, "systemctl reload swarmd" has it read again.
${settingDocs.map(explain).join("")}`;
}

function explain(doc: FlagDoc): string {
  const { name, default: value, example } = doc;
  const said =
    value === undefined || Array.isArray(value) ? undefined : `${name}: ${String(value)}`;
  const phrase = said === undefined ? phraseOf(doc) : doc.text;
  const comment = wrapWords(`${sentence(phrase)}${example === undefined ? "" : " Such as:"}`, 98);
  const lines = said === undefined ? [`${name}:`, ...itemsOf(example ?? value ?? "")] : [said];
  const shown = typeof example === "string" ? [`${name}: ${example}`] : lines;
  return ["", ...comment.map((line) => `# ${line}`), ...shown.map((line) => `#${line}`)]
    .map((line) => `${line}\n`)
    .join("");
}

function itemsOf(example: NonNullable<FlagDoc["example"]>): readonly string[] {
  if (typeof example === "string") return [];
  if (Array.isArray(example)) return example.map((item) => `  - ${String(item)}`);
  return Object.entries(example).map(([name, value]) => `  ${name}: ${value}`);
}

function sentence(phrase: string): string {
  return `${phrase.charAt(0).toUpperCase()}${phrase.slice(1)}.`;
}
