/** Lists in a spec: what `--X-rm` takes out of one and `--X-add` puts in, in place of what has the same key. */

/** `keyOf`: by what entries are told apart; `rm` names keys. */
export function changedList<T>(
  before: readonly T[],
  { add = [], rm = [] }: { add?: readonly T[] | undefined; rm?: readonly string[] | undefined },
  keyOf: (entry: T) => string,
): T[] {
  const gone = new Set([...rm, ...add.map(keyOf)]);
  return [...before.filter((entry) => !gone.has(keyOf(entry))), ...add];
}

/** The same for a map, as entries. */
export function changedMap(
  before: Readonly<Record<string, string>>,
  add: readonly { readonly key: string; readonly value: string }[] = [],
  rm: readonly string[] = [],
): Record<string, string> {
  const kept = Object.entries(before).filter(([key]) => !rm.includes(key));
  return Object.fromEntries([...kept, ...add.map(({ key, value }) => [key, value])]);
}
