/**
 * Texts with variables in them, in the shell's notation as compose files have it: `$NAME`, `${NAME}`, and `$$` for a dollar
 * sign. `${NAME:-word}` is the word where NAME is unset or empty, `:?` refuses with the word then, `:+` is the word where it
 * is set and not empty; without the colon, being empty counts as set. A word may hold variables again; those that are not
 * needed are not looked at.
 */
import { Fault } from "#proto/fault.ts";

type Part = string | Reference;

interface Reference {
  readonly name: string;
  /** As `:-` or `?`; empty where there is none. */
  readonly operator: string;
  readonly word: readonly Part[];
}

export interface Lookup {
  readonly variables: (name: string) => string | undefined;
  /** Told of a variable that is not set, and stands for nothing. */
  readonly onUnset: (name: string) => void;
}

const depthMax = 50;
/** What a text may become, in characters: above a config's largest content. Variables that hold others multiply. */
const lengthMax = 1024 * 1024;

export function expand(text: string, lookup: Lookup): string {
  if (!text.includes("$")) return text;
  const { parts } = parseParts(text, 0, 0);
  return render(parts, lookup);
}

interface Parsed {
  readonly parts: readonly Part[];
  readonly end: number;
}

/** Up to the end of the text; inside of braces, up to the `}` that closes them. */
function parseParts(text: string, start: number, depth: number): Parsed {
  if (depth > depthMax) throw refusal(`has variables ${depthMax} deep in one another`);
  const parts: Part[] = [];
  let at = start;
  const special = depth > 0 ? /[$}]/g : /\$/g;
  for (;;) {
    special.lastIndex = at;
    const next = special.exec(text)?.index ?? text.length;
    if (next > at) parts.push(text.slice(at, next));
    at = next;
    if (text[at] !== "$") break;
    const { part, end } = parseDollar(text, at, depth);
    parts.push(part);
    at = end;
  }
  return { parts, end: at };
}

function parseDollar(
  text: string,
  at: number,
  depth: number,
): { readonly part: Part; readonly end: number } {
  if (text[at + 1] === "$") return { part: "$", end: at + 2 };
  const open = /\$\{(?<name>[a-z_]\w*)(?<operator>:?[-?+])?/iy;
  const bare = /\$(?<name>[a-z_]\w*)/iy;
  open.lastIndex = at;
  bare.lastIndex = at;
  const match = open.exec(text) ?? bare.exec(text);
  const name = match?.groups?.["name"];
  if (match === null || name === undefined) throw noVariable(text, at);
  const after = at + match[0].length;
  if (text[at + 1] !== "{") return { part: { name, operator: "", word: [] }, end: after };
  const operator = match.groups?.["operator"] ?? "";
  const { parts, end } =
    operator === "" ? { parts: [], end: after } : parseParts(text, after, depth + 1);
  if (text[end] !== "}") throw noVariable(text, at);
  return { part: { name, operator, word: parts }, end: end + 1 };
}

function render(parts: readonly Part[], lookup: Lookup): string {
  let text = "";
  for (const part of parts) {
    text += typeof part === "string" ? part : valueOf(part, lookup);
    if (text.length > lengthMax) throw refusal(`becomes longer than ${lengthMax} characters`);
  }
  return text;
}

function valueOf({ name, operator, word }: Reference, lookup: Lookup): string {
  const value = lookup.variables(name);
  const isSet = value !== undefined && !(operator.startsWith(":") && value === "");
  switch (operator.at(-1)) {
    case "-":
      return isSet ? value : render(word, lookup);
    case "+":
      return isSet ? render(word, lookup) : "";
    case "?": {
      if (isSet) return value;
      const why = render(word, lookup) || (value === "" ? "it is empty" : "it is not set");
      throw refusal(`needs the variable "${name}": ${why}`);
    }
    default:
      if (value === undefined) lookup.onUnset(name);
      return value ?? "";
  }
}

function noVariable(text: string, at: number): Fault {
  const piece = /^\$(?:\{[^}]{0,40}\}?|.?)/su.exec(text.slice(at, at + 64))?.[0] ?? "$";
  return refusal(`holds "${piece}", which is no variable: write $$ for a dollar sign`);
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
