/**
 * Whether what clients of one register saw can be explained by one order in which every operation happened at one moment
 * between its call and its return (Herlihy, Wing 1990). The search is Wing and Gong's with Lowe's memory of what was tried
 * ("Testing for linearizability", 2016). An operation without a return may have happened at any time after its call, or never.
 */
export type RegisterOperation = {
  readonly calledAt: number;
  /** Undefined: nobody knows what became of it. Times are of one clock; of two equal ones the order is open. */
  readonly returnedAt: number | undefined;
} & (
  | { readonly kind: "read"; readonly seen: number }
  /** `seen`, where it returned: what was there before. */
  | { readonly kind: "write"; readonly value: number; readonly seen: number | undefined }
  | {
      readonly kind: "compare-and-set";
      readonly expected: number;
      readonly value: number;
      /** It took place where this is `expected`. */
      readonly seen: number | undefined;
    }
);

/** The register after the operation, or undefined where the operation cannot be what happens next. */
function after(operation: RegisterOperation, value: number): number | undefined {
  if (operation.seen !== undefined && operation.seen !== value) return undefined;
  switch (operation.kind) {
    case "read":
      return value;
    case "write":
      return operation.value;
    case "compare-and-set":
      return value === operation.expected ? operation.value : value;
  }
}

/**
 * An operation without a return whose value nobody saw may as well have never happened, for every other one says what it
 * saw: without this the search would try each of them everywhere.
 */
function relevant(operations: readonly RegisterOperation[]): RegisterOperation[] {
  const seen = new Set<number>();
  for (const operation of operations) {
    if (operation.seen !== undefined) seen.add(operation.seen);
    // What one without a return waits for may be another's value.
    if (operation.kind === "compare-and-set" && operation.seen === undefined) {
      seen.add(operation.expected);
    }
  }
  return operations.filter(
    (operation) =>
      operation.returnedAt !== undefined ||
      (operation.kind !== "read" && seen.has(operation.value)),
  );
}

interface Frame {
  readonly value: number;
  readonly candidates: readonly number[];
  next: number;
  /** The operation that led here. */
  readonly by: number;
}

class Search {
  readonly #operations: readonly RegisterOperation[];
  readonly #done: boolean[];
  readonly #tried = new Set<string>();
  #left: number;
  #first = 0;

  constructor(operations: readonly RegisterOperation[]) {
    this.#operations = relevant(operations).sort((left, right) => left.calledAt - right.calledAt);
    this.#done = this.#operations.map(() => false);
    this.#left = this.#operations.filter(({ returnedAt }) => returnedAt !== undefined).length;
  }

  run(): boolean {
    const stack: Frame[] = [this.#frame(0, -1)];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (this.#left === 0) return true;
      const candidate = top.candidates[top.next];
      top.next += 1;
      const operation = candidate === undefined ? undefined : this.#operations[candidate];
      if (candidate === undefined || operation === undefined) {
        this.#mark(top.by, false);
        stack.pop();
        continue;
      }
      const value = after(operation, top.value);
      if (value === undefined) continue;
      this.#mark(candidate, true);
      if (this.#isNew(value)) stack.push(this.#frame(value, candidate));
      else this.#mark(candidate, false);
    }
    return false;
  }

  #mark(place: number, done: boolean): void {
    if (place < 0) return;
    this.#done[place] = done;
    if (this.#operations[place]?.returnedAt !== undefined) this.#left += done ? -1 : 1;
    if (!done) this.#first = Math.min(this.#first, place);
    while (this.#done[this.#first] === true) this.#first += 1;
  }

  /** Whoever was called before the first return of those that are left may be next. */
  #frame(value: number, by: number): Frame {
    const candidates: number[] = [];
    let firstReturn = Number.POSITIVE_INFINITY;
    for (let place = this.#first; place < this.#operations.length; place += 1) {
      const operation = this.#operations[place];
      if (operation === undefined || this.#done[place] === true) continue;
      if (operation.calledAt > firstReturn) break;
      candidates.push(place);
      firstReturn = Math.min(firstReturn, operation.returnedAt ?? firstReturn);
    }
    return { value, candidates, next: 0, by };
  }

  /** Nearly all that is done is a prefix: the rest names the set. */
  #isNew(value: number): boolean {
    let key = `${value}:${this.#first}`;
    for (let place = this.#first; place < this.#done.length; place += 1) {
      if (this.#done[place] === true) key += `,${place}`;
    }
    if (this.#tried.has(key)) return false;
    this.#tried.add(key);
    return true;
  }
}

/** The register begins with 0. */
export function isLinearizable(operations: readonly RegisterOperation[]): boolean {
  return new Search(operations).run();
}
