/**
 * Dollar signs in a stack file stand for variables of the shell, and `$$` for a dollar sign. Variables are not replaced
 * yet, so one is refused at its place rather than handed to a container as it stands.
 */
import type { Path, YamlDocument } from "./yaml-document.ts";

/** The parts of a stack file in which Docker replaces variables. */
const sections = ["services", "networks", "volumes", "secrets", "configs"];

export function resolveDollars(document: YamlDocument): unknown {
  const { value } = document;
  if (!isMap(value)) return value;
  const resolve = (key: string, child: unknown) =>
    sections.includes(key) ? resolved(document, [key], child) : child;
  return mapValues(value, resolve);
}

function resolved(document: YamlDocument, path: Path, value: unknown): unknown {
  if (typeof value === "string") return resolvedText(document, path, value);
  if (Array.isArray(value)) {
    return value.map((item, index) => resolved(document, [...path, String(index)], item));
  }
  if (isMap(value)) {
    return mapValues(value, (key, child) => resolved(document, [...path, key], child));
  }
  return value;
}

function resolvedText(document: YamlDocument, path: Path, text: string): string {
  const variable = /\$(?!\$)(?:\{[^}]*\}|\w+)?/.exec(text.replaceAll("$$", "  "));
  if (variable !== null) {
    const advice = "write $$ for a dollar sign; variables are not replaced yet";
    throw document.fault(path, `holds "${variable[0]}": ${advice}`);
  }
  return text.replaceAll("$$", () => "$");
}

type Map = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is Map {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `Object.fromEntries` defines keys, so one named "__proto__" stays a key like any other. */
function mapValues(map: Map, change: (key: string, value: unknown) => unknown): Map {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(key, value)]));
}
