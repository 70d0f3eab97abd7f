/**
 * What differs between two messages of one kind, field by field, in words: for people who ask what a change would do. An
 * element of a list is found again by what it is called, so that one more port changes nothing of the others. Logins and
 * the data of files are not shown.
 */
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { msFromDuration } from "#proto/time.ts";

export interface FieldChange {
  /** "task.container.env[PATH]" */
  readonly path: string;
  /** Undefined of a field that is new. */
  readonly before: string | undefined;
  /** Undefined of a field that goes. */
  readonly after: string | undefined;
}

/** In the order of the contract. A message that is not there has no fields. */
export function fieldChanges(
  schema: DescMessage,
  before: Message | undefined,
  after: Message | undefined,
): FieldChange[] {
  const [old, next] = [leavesOf(schema, before), leavesOf(schema, after)];
  return [...new Set([...old.keys(), ...next.keys()])]
    .map((path) => ({ path, before: old.get(path), after: next.get(path) }))
    .filter((change) => change.before !== change.after);
}

export function describeChange({ path, before, after }: FieldChange): string {
  if (before === undefined) return `+ ${path}: ${after}`;
  if (after === undefined) return `- ${path}: ${before}`;
  return `~ ${path}: ${before} -> ${after}`;
}

type Leaves = Map<string, string>;

function leavesOf(schema: DescMessage, message: Message | undefined): Leaves {
  const leaves: Leaves = new Map();
  if (message !== undefined) addMessage(leaves, reflect(schema, message), "");
  return leaves;
}

function addMessage(leaves: Leaves, message: ReflectMessage, path: string): void {
  for (const field of message.desc.fields) {
    if (message.isSet(field)) addField(leaves, message, { field, path: join(path, field.name) });
  }
}

interface Place {
  readonly field: DescField;
  readonly path: string;
}

function addField(leaves: Leaves, message: ReflectMessage, { field, path }: Place): void {
  switch (field.fieldKind) {
    case "message":
      return addMember(leaves, message.get(field), path);
    case "map":
      for (const [key, value] of message.get(field))
        leaves.set(`${path}[${String(key)}]`, scalar(value));
      return;
    case "list":
      return addList(leaves, [...message.get(field)], { field, path });
    case "enum":
      leaves.set(path, enumWord(field.enum, message.get(field)));
      return;
    case "scalar":
      leaves.set(path, field.name === "registry_auth" ? "(a login)" : scalar(message.get(field)));
  }
}

function addMember(leaves: Leaves, message: ReflectMessage, path: string): void {
  if (message.desc.typeName === "google.protobuf.Duration") {
    leaves.set(path, `${msFromDuration(message.message as Duration, 0) / 1000}s`);
    return;
  }
  const before = leaves.size;
  addMessage(leaves, message, path);
  // It is there, if with nothing but defaults.
  if (leaves.size === before) leaves.set(path, "{}");
}

function addList(leaves: Leaves, items: readonly unknown[], { field, path }: Place): void {
  if (field.fieldKind === "list" && field.listKind === "message") {
    const messages = items as readonly ReflectMessage[];
    const keys = uniqueKeys(messages.map((message, index) => keyOf(message) ?? String(index)));
    for (const [index, message] of messages.entries()) {
      addMember(leaves, message, `${path}[${keys[index]}]`);
    }
  } else if (field.name === "env") {
    const pairs = items.map((item) => String(item).split(/=(.*)/s));
    const keys = uniqueKeys(pairs.map(([name = ""]) => name));
    for (const [index, [, value = ""]] of pairs.entries()) {
      leaves.set(`${path}[${keys[index]}]`, scalar(value));
    }
  } else if (field.name === "command" || field.name === "args") {
    for (const [index, item] of items.entries()) leaves.set(`${path}[${index}]`, scalar(item));
  } else if (items.length > 0) {
    leaves.set(path, `[${items.map(scalar).join(", ")}]`);
  }
}

/** The fields, of those that messages in lists have, by which users know the elements apart. */
const names = ["target", "secret_name", "config_name", "name", "service", "path_on_host", "subnet"];

function keyOf(message: ReflectMessage): string | undefined {
  const port = message.desc.fields.find(({ name }) => name === "target_port");
  const field =
    port ?? names.flatMap((name) => message.desc.fields.find((one) => one.name === name) ?? [])[0];
  if (field?.fieldKind !== "scalar") return undefined;
  return String(message.get(field));
}

/** The second element of a name has its number, too. */
function uniqueKeys(keys: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return keys.map((key) => {
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return count === 1 ? key : `${key}#${count}`;
  });
}

function enumWord(desc: DescEnum, value: number): string {
  const name = desc.value[value]?.name ?? String(value);
  const prefix = desc.sharedPrefix?.toUpperCase() ?? "";
  return name
    .slice(name.startsWith(prefix) ? prefix.length : 0)
    .toLowerCase()
    .replaceAll("_", "-");
}

function scalar(value: unknown): string {
  if (value instanceof Uint8Array) return `(${value.length} bytes)`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
