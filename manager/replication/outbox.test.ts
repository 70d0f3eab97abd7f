import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../raft/contract.ts";
import { Outbox } from "./outbox.ts";

const ways = { from: 1, to: 2, term: 1 };
const vote: Message = {
  ...ways,
  kind: "vote-reply",
  pre: false,
  granted: true,
};

function append(index: number, size: number): Message {
  return {
    ...ways,
    kind: "append",
    prevIndex: index - 1,
    prevTerm: 1,
    entries: [{ kind: "data", index, term: 1, data: new Uint8Array(size) }],
    commit: 0,
    round: 1,
    electionMs: 300,
  };
}

function chunk(number: number): Message {
  const meta = { index: 1, term: 1, membership: { members: [], removed: [] } };
  const data = new Uint8Array();
  return { ...ways, kind: "snapshot-chunk", meta, chunk: number, data, last: false, round: 1 };
}

function kinds(messages: readonly Message[]): string[] {
  return messages.map(({ kind }) => kind);
}

test("outbox, messages leave in order, as many as one request may hold", () => {
  const outbox = new Outbox();
  const mebi = 1024 * 1024;
  for (const size of [mebi, 2 * mebi, 2 * mebi, 10 * mebi]) outbox.add(append(1, size));
  outbox.add(vote);
  outbox.add(chunk(0));
  outbox.add(vote);
  const requests: string[][] = [];
  while (!outbox.empty) requests.push(kinds(outbox.take()));
  assert.deepEqual(requests, [
    ["append", "append"],
    ["append"],
    ["append"],
    ["vote-reply"],
    ["snapshot-chunk"],
    ["vote-reply"],
  ]);
});

test("outbox, a full one loses entries and keeps votes", () => {
  const outbox = new Outbox();
  for (let index = 1; index <= 10_000; index++) outbox.add(append(index, 1));
  for (let count = 0; count < 10; count++) outbox.add(vote);
  const left: Message[] = [];
  while (!outbox.empty) left.push(...outbox.take());
  assert.equal(left.length, 4_096);
  assert.equal(left.filter(({ kind }) => kind === "vote-reply").length, 10);
  const heavy = new Outbox();
  for (let index = 1; index <= 100; index++) heavy.add(append(index, 1024 * 1024));
  heavy.add(vote);
  let count = 0;
  while (!heavy.empty) count += heavy.take().length;
  assert.equal(count, 64);
});

test("outbox, who waits for a message is woken by one, or by the end", async () => {
  const outbox = new Outbox();
  const end = new AbortController();
  const first = outbox.arrival(end.signal);
  outbox.add(vote);
  await first;
  outbox.take();
  const second = outbox.arrival(end.signal);
  end.abort();
  await second;
});
