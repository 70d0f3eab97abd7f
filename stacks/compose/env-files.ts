/** Files of variables: `.env` beside the stack file, and those that `env_file` and `label_file` name. */
import { resolve } from "node:path";
import { Fault } from "#proto/fault.ts";
import { type EnvLine, type EnvLookup, parseDotenv, parseRawEnv } from "./dotenv.ts";
import {
  childOf,
  type Entry,
  type MapNode,
  type Node,
  type Path,
  refusalAt,
  scalarNode,
  textOf,
} from "#proto/yaml/node.ts";
import type { NormalOptions, Variables } from "./normal-form.ts";

/** The variables of the shell, and below them those of the files, a later file's over an earlier one's. */
export function withEnvFile(
  shell: Variables,
  files: readonly { readonly file: string; readonly text: string }[],
  onUnset: EnvLookup["onUnset"] = () => {},
): Variables {
  const values = new Map<string, string>();
  const variables: Variables = (name) => shell(name) ?? values.get(name);
  for (const { file, text } of files) {
    for (const { name, value } of parseDotenv(text, file, { variables, onUnset })) {
      if (value !== undefined) values.set(name, value);
    }
  }
  return variables;
}

/** What `env_file` or `label_file` names, as a map. */
export function readFiles(
  node: Node | undefined,
  path: Path,
  options: NormalOptions,
): MapNode | undefined {
  if (node?.kind !== "list") return undefined;
  const entries = new Map<string, Entry>();
  for (const item of node.items) {
    for (const { name, value } of linesOf(item, path, options)) {
      entries.set(name, { place: item.place, value: scalarNode(item.place, value ?? null) });
    }
  }
  return { kind: "map", place: node.place, entries };
}

function linesOf(item: Node, place: Path, options: NormalOptions): readonly EnvLine[] {
  const path = textOf(childOf(item, "path") ?? item);
  const required = childOf(item, "required");
  const isRequired = !(required?.kind === "scalar" && required.value === false);
  if (options.raw && path.includes("$")) return [];
  const file = resolve(options.folder, path);
  try {
    const text = options.readText(file);
    const isRaw = textOf(childOf(item, "format") ?? scalarNode(item.place, "")) === "raw";
    return isRaw ? parseRawEnv(text, file) : parseDotenv(text, file, options);
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (!isRequired && fault.code === "not-found") return [];
    throw refusalAt(item.place, place, `is refused: ${fault.message}`);
  }
}
