/** The simulated clock and what is to happen on it: nothing happens but from here, one thing after another. */
interface Appointment {
  readonly atMs: number;
  /** Of two at one moment, the one that was made first comes first. */
  readonly order: number;
  readonly run: () => void;
}

function isBefore(left: Appointment, right: Appointment): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

export class Agenda {
  /** A binary heap: each one is not after its children, at 2n + 1 and 2n + 2. */
  readonly #heap: Appointment[] = [];
  #nowMs = 0;
  #made = 0;
  #ran = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many things happened. */
  get events(): number {
    return this.#ran;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): void {
    this.#made += 1;
    const appointment = { atMs: Math.max(atMs, this.#nowMs), order: this.#made, run };
    const heap = this.#heap;
    let place = heap.length;
    while (place > 0) {
      const parentPlace = (place - 1) >> 1;
      const parent = heap[parentPlace];
      if (parent === undefined || !isBefore(appointment, parent)) break;
      heap[place] = parent;
      place = parentPlace;
    }
    heap[place] = appointment;
  }

  /** Lets happen what comes next; false when nothing is left. */
  runNext(): boolean {
    const next = this.#heap[0];
    const last = this.#heap.pop();
    if (next === undefined || last === undefined) return false;
    if (this.#heap.length > 0) this.#sink(last);
    this.#nowMs = next.atMs;
    this.#ran += 1;
    next.run();
    return true;
  }

  #sink(appointment: Appointment): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let childPlace = 2 * place + 1;
      let child = heap[childPlace];
      if (child === undefined) break;
      const sibling = heap[childPlace + 1];
      if (sibling !== undefined && isBefore(sibling, child)) {
        childPlace += 1;
        child = sibling;
      }
      if (!isBefore(child, appointment)) break;
      heap[place] = child;
      place = childPlace;
    }
    heap[place] = appointment;
  }
}
