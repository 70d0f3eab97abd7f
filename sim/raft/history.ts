/** What the clients saw, for the question whether one register per key explains it. */
import type { NumberedCommand } from "./key-value.ts";
import { isLinearizable, type RegisterOperation } from "./linearizability.ts";
import type { Outcome } from "./requests.ts";
import { Violation } from "./violation.ts";

export type Request = NumberedCommand | { readonly kind: "read"; readonly key: number };

interface Recorded {
  readonly request: Request;
  readonly calledAt: number;
  returned: { readonly at: number; readonly outcome: Outcome } | undefined;
}

export class History {
  readonly #operations: Recorded[] = [];
  /** Counts calls and returns: the order is all that matters. */
  #clock = 0;

  get operations(): readonly Recorded[] {
    return this.#operations;
  }

  /** The result takes the outcome when it comes. */
  call(request: Request): (outcome: Outcome) => void {
    this.#clock += 1;
    const recorded: Recorded = { request, calledAt: this.#clock, returned: undefined };
    this.#operations.push(recorded);
    return (outcome) => {
      this.#clock += 1;
      recorded.returned = { at: this.#clock, outcome };
    };
  }

  check(): void {
    const keys = Map.groupBy(this.#operations, ({ request }) => request.key);
    for (const [key, operations] of keys) {
      const register = operations.flatMap(registerOperations);
      if (isLinearizable(register)) continue;
      const until = firstUnexplained(register);
      throw new Violation(
        "linearizable",
        `no order explains what the clients saw of key ${key}:\n${register
          .filter(({ calledAt }) => calledAt <= until)
          .slice(-12)
          .map((operation) => `  ${JSON.stringify(operation)}`)
          .join("\n")}`,
      );
    }
  }
}

/** What was refused did not happen. */
function registerOperations({ request, calledAt, returned }: Recorded): RegisterOperation[] {
  if (returned?.outcome.kind === "refused") return [];
  const seen = returned?.outcome.seen;
  const times = { calledAt, returnedAt: returned?.at };
  if (request.kind === "read") {
    return seen === undefined ? [] : [{ ...times, kind: "read", seen }];
  }
  if (request.kind === "write") return [{ ...times, kind: "write", value: request.value, seen }];
  const { expected, value } = request;
  return [{ ...times, kind: "compare-and-set", expected, value, seen }];
}

/** The earliest return up to which there is no order; whoever returns later may be anything there. */
function firstUnexplained(operations: readonly RegisterOperation[]): number {
  const returns = operations.flatMap(({ returnedAt }) => returnedAt ?? []).sort((a, b) => a - b);
  let low = 0;
  let high = returns.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = returns[middle] ?? 0;
    const prefix = operations
      .filter(({ calledAt }) => calledAt <= at)
      .flatMap((operation) => cutOff(operation, at));
    if (isLinearizable(prefix)) low = middle + 1;
    else high = middle;
  }
  return returns[low] ?? 0;
}

function cutOff(operation: RegisterOperation, at: number): RegisterOperation[] {
  if (operation.returnedAt === undefined || operation.returnedAt <= at) return [operation];
  if (operation.kind === "read") return [];
  return [{ ...operation, returnedAt: undefined, seen: undefined }];
}
