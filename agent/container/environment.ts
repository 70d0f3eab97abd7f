/** Environment variables, as "NAME=value". Pure. */

/** Later ones win; a name without "=" takes the variable away (Docker). */
export function mergeEnv(variables: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const variable of variables) {
    const [name = ""] = variable.split("=", 1);
    if (variable.includes("=")) merged.set(name, variable);
    else merged.delete(name);
  }
  return [...merged.values()];
}
