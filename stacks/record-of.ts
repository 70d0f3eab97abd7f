/** Keys and values as a map or as a list of KEY=value. Numbers and booleans keep the digits that their author wrote. */
import type { Pairs } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import type { StackContext } from "./stack-context.ts";

export function recordOf(
  { document }: StackContext,
  path: Path,
  pairs: Pairs = {},
): Record<string, string> {
  if (isList(pairs)) return Object.fromEntries(pairs.map(splitPair));
  const values = Object.entries(pairs).map(([key, value]) => [
    key,
    typeof value === "string" ? value : (document.text([...path, key]) ?? String(value)),
  ]);
  return Object.fromEntries(values);
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(pairs: Pairs): pairs is readonly string[] {
  return Array.isArray(pairs);
}

function splitPair(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
