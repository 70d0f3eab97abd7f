/**
 * What is different between two lists of objects of which most are the same: states come one after the other, and what did
 * not change in them is the same object.
 */

export interface ListChanges<Item> {
  readonly gone: readonly Item[];
  readonly came: readonly Item[];
}

/** How many items that go or come side by side are found without a look at the whole list. */
const stepsMax = 64;

/** Lists hold no item twice. Where what stays has kept its order, this costs one walk; else a set of each list. */
export function listChanges<Item>(
  before: readonly Item[],
  after: readonly Item[],
): ListChanges<Item> {
  const gone: Item[] = [];
  const came: Item[] = [];
  let at = 0;
  let to = 0;
  while (at < before.length && to < after.length) {
    const item = before[at];
    if (item === after[to]) {
      at += 1;
      to += 1;
      continue;
    }
    const next = resume(before, after, { at, to });
    if (next === undefined) break;
    gone.push(...before.slice(at, next.at));
    came.push(...after.slice(to, next.to));
    ({ at, to } = next);
  }
  const rest = changesOfSets(before.slice(at), after.slice(to));
  return { gone: [...gone, ...rest.gone], came: [...came, ...rest.came] };
}

interface Position {
  readonly at: number;
  readonly to: number;
}

/** Where the lists are the same again: after one item that took another's place, or after some that went or came. */
function resume<Item>(
  before: readonly Item[],
  after: readonly Item[],
  { at, to }: Position,
): Position | undefined {
  if (at + 1 < before.length && before[at + 1] === after[to + 1]) return { at: at + 1, to: to + 1 };
  for (let steps = 1; steps <= stepsMax; steps += 1) {
    if (before[at + steps] === after[to]) return { at: at + steps, to };
    if (before[at] === after[to + steps]) return { at, to: to + steps };
  }
  return undefined;
}

function changesOfSets<Item>(before: readonly Item[], after: readonly Item[]): ListChanges<Item> {
  const stood = new Set(before);
  const stands = new Set(after);
  return {
    gone: before.filter((item) => !stands.has(item)),
    came: after.filter((item) => !stood.has(item)),
  };
}

export function isSameList(list: readonly unknown[], other: readonly unknown[]): boolean {
  if (list === other) return true;
  return list.length === other.length && list.every((item, index) => item === other[index]);
}

/** The last result, which holds for as long as the lists that it was made of hold the same objects. */
export class Last<Result> {
  #made: { readonly of: readonly (readonly unknown[])[]; readonly result: Result } | undefined;

  of(lists: readonly (readonly unknown[])[], make: () => Result): Result {
    const before = this.#made;
    const isSame =
      before?.of.length === lists.length &&
      lists.every((list, index) => isSameList(list, before.of[index] ?? []));
    if (before !== undefined && isSame) return before.result;
    const result = make();
    this.#made = { of: lists, result };
    return result;
  }
}
