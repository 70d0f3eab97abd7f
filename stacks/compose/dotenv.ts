/**
 * Files of variables in Compose's notation: `NAME=value` a line, `#` comments, `export` before a name. In single quotes a
 * value is as it stands; in double quotes backslashes escape; both may go on over lines. Variables in values are replaced but
 * in single quotes. A name alone takes what the shell has.
 */
import { Fault } from "#proto/fault.ts";
import { expand } from "./template.ts";

export interface EnvLine {
  readonly name: string;
  /** Undefined where the line has a name alone, and the shell knows no such variable. */
  readonly value: string | undefined;
}

export function parseDotenv(
  text: string,
  file: string,
  outer: (name: string) => string | undefined,
): EnvLine[] {
  const lines: EnvLine[] = [];
  const own = new Map<string, string>();
  const variables = (name: string) => outer(name) ?? own.get(name);
  const lookup = { variables, onUnset: () => {} };
  const source = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const statement =
    /[^\S\n]*(?:#[^\n]*|(?:export[^\S\n]+)?(?<name>[A-Za-z_][\w.-]*)(?:[^\S\n]*=[^\S\n]*(?:'(?<single>[^']*)'(?<tail>[^\n]*)|"(?<double>(?:[^"\\]|\\[^])*)"(?<rest>[^\n]*)|(?<plain>(?!['"])[^\n]*))|(?<alone>[^\S\n]*(?:#[^\n]*)?(?=\n|$))))?[^\S\n]*(?:\n|$)/y;
  while (statement.lastIndex < source.length) {
    const at = statement.lastIndex;
    const groups = statement.exec(source)?.groups;
    const after = (groups?.["tail"] ?? groups?.["rest"] ?? "").trim();
    if (groups === undefined || (after !== "" && !after.startsWith("#"))) {
      throw noVariable(source, at, file);
    }
    const { name, single, double, plain } = groups;
    if (name === undefined) continue;
    const value =
      single ??
      (double !== undefined
        ? expanded(unescape(double), { source, at, file }, lookup)
        : plain === undefined
          ? variables(name)
          : expanded(withoutComment(plain), { source, at, file }, lookup));
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

interface Where {
  readonly source: string;
  readonly at: number;
  readonly file: string;
}

function expanded(text: string, where: Where, lookup: Parameters<typeof expand>[1]): string {
  try {
    return expand(text, lookup);
  } catch (thrown) {
    const place = `${where.file}:${lineAt(where.source, where.at)}`;
    throw new Fault("invalid-argument", `${place} ${Fault.from(thrown).message}`);
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

function noVariable(source: string, at: number, file: string): Fault {
  const line = source.slice(at).split("\n", 1)[0] ?? "";
  return refusal(file, lineAt(source, at), line);
}

/** The value may be a secret: only what stands before it is told. */
function refusal(file: string, line: number, text: string): Fault {
  const name = text.split("=", 1)[0]?.trim().slice(0, 40);
  return new Fault(
    "invalid-argument",
    `${file}:${line}: "${name}" begins no line of the form NAME=value`,
  );
}

function lineAt(source: string, at: number): number {
  return source.slice(0, at).split("\n").length;
}
