/**
 * Placeholders in specs, secrets and configs, as Swarm has them: the part of Go's text/template that names something of
 * a task. Managers parse them so that a mistake is refused when it is made; agents evaluate them for each task. Pure.
 *
 * An action is a field (`{{.Task.Slot}}`), a label (`{{.Service.Labels.stage}}`, `{{index .Service.Labels "a.b"}}`,
 * `{{.Service.Labels "a.b"}}`), a text (`{{"{{"}}`), a comment, or, in secrets and configs, a call (`{{env "HOME"}}`).
 */
import { Fault } from "./fault.ts";

export interface TemplateValues {
  readonly service: {
    readonly id: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly node: {
    readonly id: string;
    readonly hostname: string;
    readonly os: string;
    readonly architecture: string;
  };
  /** The slot of a global service's task is its node's ID (Swarm). */
  readonly task: { readonly id: string; readonly name: string; readonly slot: string };
}

/** What secrets and configs may call, each with one text. */
export type TemplateFunction = "secret" | "config" | "env";
export type TemplateFunctions = Readonly<Record<TemplateFunction, (name: string) => string>>;

export type TemplatePart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "field"; readonly read: (values: TemplateValues) => string }
  | { readonly kind: "label"; readonly key: string; readonly mayLack: boolean }
  | { readonly kind: "call"; readonly name: TemplateFunction; readonly argument: string };

export type Template = readonly TemplatePart[];

/** What a template may say: calls are for files alone. */
export type Dialect = "spec" | "file";

const fields: Readonly<Record<string, (values: TemplateValues) => string>> = {
  ".Service.ID": ({ service }) => service.id,
  ".Service.Name": ({ service }) => service.name,
  ".Node.ID": ({ node }) => node.id,
  ".Node.Hostname": ({ node }) => node.hostname,
  ".Node.Platform.OS": ({ node }) => node.os,
  ".Node.Platform.Architecture": ({ node }) => node.architecture,
  ".Task.ID": ({ task }) => task.id,
  ".Task.Name": ({ task }) => task.name,
  ".Task.Slot": ({ task }) => task.slot,
};

const functions: readonly string[] = ["secret", "config", "env"] satisfies TemplateFunction[];

const labels = ".Service.Labels";

/** A text in quotes as in Go: with escapes, or raw between backquotes. */
const literal = String.raw`("(?:[^"\\\n]|\\.)*"|` + "`[^`]*`)";

/** What an action is made of, up to its end: comments and quoted texts may hold "}}". */
const actionEnd = new RegExp(
  String.raw`^(?:\s*\/\*[^]*?\*\/)?(?:${literal}|[^"` + "`" + String.raw`}]|\}(?!\}))*?\}\}`,
);

export function isTemplate(text: string): boolean {
  return text.includes("{{");
}

/** A Fault names the action that is wrong, and where it stands. */
export function parseTemplate(text: string, dialect: Dialect): Template {
  const parts: TemplatePart[] = [];
  let rest = text;
  let trimNext = false;
  const addText = (piece: string, trimEnd: boolean) => {
    const start = trimNext ? piece.replace(/^[ \t\r\n]+/, "") : piece;
    const kept = trimEnd ? start.replace(/[ \t\r\n]+$/, "") : start;
    if (kept !== "") parts.push({ kind: "text", text: kept });
  };
  for (let at = rest.indexOf("{{"); at >= 0; at = rest.indexOf("{{")) {
    const position = text.length - rest.length + at;
    const trimEnd = /^-[ \t\r\n]/.test(rest.slice(at + 2, at + 4));
    const from = at + (trimEnd ? 3 : 2);
    const end = actionEnd.exec(rest.slice(from))?.[0].length;
    if (end === undefined) throw refusal(position, 'has no end: write "}}"');
    addText(rest.slice(0, at), trimEnd);
    const { expression, trims } = withoutTrim(rest.slice(from, from + end - 2));
    trimNext = trims;
    if (!/^\/\*[^]*\*\/$/.test(expression)) parts.push(parseAction(expression, position, dialect));
    rest = rest.slice(from + end);
  }
  addText(rest, false);
  return parts;
}

function withoutTrim(inside: string): { readonly expression: string; readonly trims: boolean } {
  const trims = /[ \t\r\n]-$/.test(inside);
  return { expression: (trims ? inside.slice(0, -1) : inside).trim(), trims };
}

function parseAction(expression: string, position: number, dialect: Dialect): TemplatePart {
  const read = Object.hasOwn(fields, expression) ? fields[expression] : undefined;
  if (read !== undefined) return { kind: "field", read };
  const quoted = new RegExp(`^${literal}$`).exec(expression)?.[1];
  if (quoted !== undefined) return { kind: "text", text: unquote(quoted, position) };
  const dotted = /^\.Service\.Labels\.(\w+)$/.exec(expression)?.[1];
  if (dotted !== undefined) return { kind: "label", key: dotted, mayLack: false };
  const call = new RegExp(String.raw`^(?:(index)\s+)?(\.?[\w.]+)\s+${literal}$`).exec(expression);
  const [, index, name = "", argument] = call ?? [];
  if (argument !== undefined && name === labels) {
    return { kind: "label", key: unquote(argument, position), mayLack: index !== undefined };
  }
  if (argument !== undefined && index === undefined && isFunction(name)) {
    if (dialect === "file") return { kind: "call", name, argument: unquote(argument, position) };
    throw refusal(position, `calls "${name}", which only secrets and configs can`);
  }
  throw refusal(position, `says {{${expression}}}, which has no meaning: ${meanings(dialect)}`);
}

function isFunction(name: string): name is TemplateFunction {
  return functions.includes(name);
}

function meanings(dialect: Dialect): string {
  const calls = dialect === "file" ? functions.map((name) => `${name} "NAME"`) : [];
  return `use ${[...Object.keys(fields), `${labels} "KEY"`, ...calls].join(", ")}`;
}

function unquote(quoted: string, position: number): string {
  if (quoted.startsWith("`")) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    throw refusal(position, `has the text ${quoted} with an escape that has no meaning`);
  }
}

function refusal(position: number, problem: string): Fault {
  return new Fault("invalid-argument", `the template at character ${position + 1} ${problem}`);
}

/** Where the first mistake is, for those who must not show what stands there. */
export function templateMistakeAt(text: string, dialect: Dialect): string | undefined {
  try {
    parseTemplate(text, dialect);
    return undefined;
  } catch (thrown) {
    return /at character \d+/.exec(Fault.from(thrown).message)?.[0] ?? "somewhere";
  }
}

/** The labels without which the template cannot be evaluated. */
export function labelsOf(template: Template): string[] {
  return template.flatMap((part) => (part.kind === "label" && !part.mayLack ? [part.key] : []));
}

export function evaluateTemplate(
  template: Template,
  values: TemplateValues,
  calls?: TemplateFunctions,
): string {
  return template.map((part) => evaluatePart(part, values, calls)).join("");
}

function evaluatePart(
  part: TemplatePart,
  values: TemplateValues,
  calls: TemplateFunctions | undefined,
): string {
  switch (part.kind) {
    case "text":
      return part.text;
    case "field":
      return part.read(values);
    case "label": {
      const { labels: known, name } = values.service;
      if (Object.hasOwn(known, part.key)) return known[part.key] ?? "";
      if (part.mayLack) return "";
      throw new Fault("failed-precondition", `service "${name}" has no label "${part.key}"`);
    }
    case "call":
      if (calls !== undefined) return calls[part.name](part.argument);
      throw new Fault("internal", `"${part.name}" cannot be called here`);
  }
}
