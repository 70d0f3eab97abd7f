/**
 * Printed stack files without what has no meaning: the version, which nobody reads; what is empty or false, and so as if
 * it were not there; env files, whose variables are in the environment already; the order of ports, mounts, secrets and
 * configs; octal and decimal notation of a file's mode.
 */

/** Keys below which every word counts, also an empty one. */
const free = ["environment", "labels", "sysctls", "options", "driver_opts"];

/** Keys whose lists are sets. */
const sets = ["ports", "volumes", "secrets", "configs"];

/** False and 0 say something there. */
const telling = ["init", "replicas", "parallelism"];

interface Notation {
  /** Whether dollar signs are doubled, so that the file can be read again. */
  readonly escaped: boolean;
}

export function withoutNoise(value: unknown, notation: Notation): unknown {
  if (!isMap(value)) return value;
  const { version: _, ...others } = value;
  return clean(others, notation, "");
}

function clean(value: unknown, notation: Notation, key: string): unknown {
  if (typeof value === "string")
    return notation.escaped ? value.replaceAll("$$", () => "$") : value;
  if (Array.isArray(value)) {
    const items: unknown[] = value.map((item) => clean(item, notation, ""));
    return sets.includes(key) ? items.toSorted(byText) : items;
  }
  if (!isMap(value)) return value;
  const entries = Object.entries(value)
    .map(([name, child]): [string, unknown] => [
      name,
      free.includes(key) || key === "x-"
        ? clean(child, notation, "x-")
        : modeOf(name, clean(child, notation, name.startsWith("x-") ? "x-" : name)),
    ])
    .filter(([name, child]) => free.includes(key) || key === "x-" || says(name, child));
  return Object.fromEntries(entries);
}

function says(name: string, value: unknown): boolean {
  if (telling.includes(name)) return true;
  if (name === "env_file") return false;
  if (Array.isArray(value)) return value.length > 0;
  return value !== false && value !== "";
}

/** A file's, as a number; others, such as a port's, are words. */
function modeOf(name: string, value: unknown): unknown {
  if (name !== "mode" || typeof value !== "string" || !/^0[0-7]+$/.test(value)) return value;
  return Number.parseInt(value, 8);
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
