/** What the clients saw, all together: whether one order explains it, and what there is to tell of it. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isLinearizable, type RegisterOperation } from "#sim/raft/linearizability.ts";
import type { Operation } from "./operation.ts";

/** Each register whose history no order explains, with the file in which that history is kept. */
export function violations(operations: readonly Operation[], seed: number): readonly string[] {
  const registers = Map.groupBy(operations, ({ register }) => register);
  const broken = [...registers].filter(
    ([, history]) => !isLinearizable(history.flatMap(registerOperations)),
  );
  if (broken.length === 0) return [];
  const folder = mkdtempSync(join(tmpdir(), `chaos-${seed}-`));
  return broken.map(([register, history]) => {
    const path = join(folder, `${register}.jsonl`);
    const inOrder = history.toSorted((a, b) => a.calledAt - b.calledAt);
    writeFileSync(path, inOrder.map((operation) => `${JSON.stringify(operation)}\n`).join(""));
    return `${register}: ${path}`;
  });
}

/** What was refused did not happen, and what a failed read would have said nobody knows. */
function registerOperations(operation: Operation): RegisterOperation[] {
  const { request, outcome, calledAt } = operation;
  if (outcome.kind === "refused") return [];
  const seen = outcome.kind === "done" ? outcome.seen : undefined;
  const returnedAt = seen === undefined ? undefined : operation.returnedAt;
  const times = { calledAt, returnedAt };
  if (request.kind === "compare-and-set") return [{ ...times, ...request, seen }];
  return seen === undefined ? [] : [{ ...times, kind: "read", seen }];
}

/** How long after `ms` (since 1970) the first write took to succeed of those that began after it. */
export function writableAfter(operations: readonly Operation[], ms: number): number {
  const ends = operations
    .filter((operation) => operation.startedAtMs > ms && isWritten(operation))
    .map(({ endedAtMs }) => endedAtMs);
  return Math.min(...ends) - ms;
}

/** Whether the operation changed the register for certain. */
function isWritten({ request, outcome }: Operation): boolean {
  return request.kind === "compare-and-set" && outcome.kind === "done";
}
