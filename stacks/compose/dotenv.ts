/**
 * Files of variables in Compose's notation: `NAME=value` a line, `#` comments, `export` before a name. In single quotes a
 * value is as it stands; in double quotes backslashes escape; both may go on over lines. Variables in values are replaced but
 * in single quotes. A name alone takes what the shell has.
 */
import { Fault } from "#proto/fault.ts";
import { expand, type Lookup } from "./template.ts";

export interface EnvLine {
  readonly name: string;
  /** Undefined where the line has a name alone, and the shell knows no such variable. */
  readonly value: string | undefined;
}

export interface EnvLookup {
  /** What is there before the file is read, and wins over it. */
  readonly variables: (name: string) => string | undefined;
  /** Told of a variable that stands for nothing, and where. */
  readonly onUnset: (name: string, where: string) => void;
}

const blank = "[^\\S\\n]*";
const values = [
  `'(?<single>[^']*)'(?<tail>[^\\n]*)`,
  `"(?<double>(?:[^"\\\\]|\\\\[^])*)"(?<rest>[^\\n]*)`,
  `(?<plain>(?!['"])[^\\n]*)`,
].join("|");
const named = `(?:export[^\\S\\n]+)?(?<name>[A-Za-z_][\\w.-]*)${blank}(?:=${blank}(?:${values})|(?=[#\\n]|$))`;
/** One statement; a value in quotes may go on over lines. */
const pattern = `${blank}(?:${named})?(?:#[^\\n]*)?(?:\\n|$)`;

export function parseDotenv(text: string, file: string, outer: EnvLookup): EnvLine[] {
  const lines: EnvLine[] = [];
  const own = new Map<string, string>();
  const variables = (name: string) => outer.variables(name) ?? own.get(name);
  const source = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const statement = new RegExp(pattern, "y");
  const lineOf = lineCounter(source);
  while (statement.lastIndex < source.length) {
    const at = statement.lastIndex;
    const line = lineOf(at);
    const groups = statement.exec(source)?.groups;
    const after = (groups?.["tail"] ?? groups?.["rest"] ?? "").trim();
    if (groups === undefined || (after !== "" && !after.startsWith("#"))) {
      throw refusal(file, line, source.slice(at).split("\n", 1)[0] ?? "");
    }
    const { name, single, double, plain } = groups;
    if (name === undefined) continue;
    const template = double === undefined ? plain && withoutComment(plain) : unescape(double);
    const where = `${file}:${line}`;
    const lookup = { variables, onUnset: (unset: string) => outer.onUnset(unset, where) };
    const written = single ?? (template && expanded(template, where, lookup));
    const value = written ?? variables(name);
    if (value !== undefined) own.set(name, value);
    lines.push({ name, value });
  }
  return lines;
}

/** `NAME=value` a line, the value as it stands; what `format: raw` is. */
export function parseRawEnv(text: string, file: string): EnvLine[] {
  const lines: EnvLine[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const trimmed = line.trimStart();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const [name = "", ...value] = trimmed.split("=");
    if (name === "" || /\s/.test(name)) throw refusal(file, index + 1, trimmed);
    lines.push({ name, value: value.length === 0 ? undefined : value.join("=") });
  }
  return lines;
}

function expanded(text: string, where: string, lookup: Lookup): string {
  try {
    return expand(text, lookup);
  } catch (thrown) {
    throw new Fault("invalid-argument", `${where} ${Fault.from(thrown).message}`);
  }
}

function withoutComment(plain: string): string {
  return plain.replace(/(^|\s)#.*$/, "$1").trim();
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", $: "$$" };

function unescape(text: string): string {
  return text.replace(/\\([^])/g, (whole, letter: string) => {
    if (Object.hasOwn(escapes, letter)) return escapes[letter] ?? "";
    return letter === '"' || letter === "\\" ? letter : whole;
  });
}

/** The value may be a secret: only what stands before it is told. */
function refusal(file: string, line: number, text: string): Fault {
  const name = text.split("=", 1)[0]?.trim().slice(0, 40);
  return new Fault(
    "invalid-argument",
    `${file}:${line}: "${name}" begins no line of the form NAME=value`,
  );
}

/** Of places that come one after the other. From the start each time it would take as long as the square of the file. */
function lineCounter(source: string): (at: number) => number {
  let [line, counted] = [1, 0];
  return (at) => {
    for (; counted < at; counted += 1) if (source[counted] === "\n") line += 1;
    return line;
  };
}
