import assert from "node:assert/strict";
import { test } from "node:test";
import { pollUntil } from "./poll.ts";

const { signal } = new AbortController();

test("polling ends with the first look at which the condition holds", async () => {
  let looks = 0;
  const third = () => ++looks === 3;
  await pollUntil(() => "it", third, { intervalMs: 1, timeoutMs: 5_000, signal });
  assert.equal(looks, 3);
});

test("polling in vain ends at the deadline and says for what", async () => {
  const options = { intervalMs: 1, timeoutMs: 10, signal };
  await assert.rejects(
    pollUntil(
      () => "Godot",
      () => false,
      options,
    ),
    { code: "deadline-exceeded", message: "waited 0.01 s for Godot" },
  );
});

test("polling ends when its signal aborts, with the signal's reason", async () => {
  const abort = new AbortController();
  const options = { intervalMs: 60_000, timeoutMs: 60_000, signal: abort.signal };
  const polling = pollUntil(
    () => "it",
    () => false,
    options,
  );
  abort.abort();
  await assert.rejects(polling, { name: "AbortError" });
});
