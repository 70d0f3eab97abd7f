import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import type { Io } from "./io.ts";
import { readAnswer, readSecret } from "./read-secret.ts";

/** stdin with what it is told: "raw" and "cooked" of the terminal between what is read. */
function openIo(chunks: readonly string[], isTTY: boolean) {
  const told: string[] = [];
  const io: Io = {
    stdin: {
      isTTY,
      setRawMode: (on: boolean) => told.push(on ? "raw" : "cooked"),
      async *[Symbol.asyncIterator]() {
        yield* chunks;
      },
    },
    stdout: { write: (text: string) => told.push(text) },
    stderr: { write: (text: string) => told.push(text) },
    env: {},
    clock: systemClock,
    signal: new AbortController().signal,
  };
  return { io, told };
}

it("an answer is shown while it is typed", async () => {
  const { io, told } = openIo(["user\n", "secret\r"], true);
  assert.equal(await readAnswer(io, "Name: "), "user");
  assert.deepEqual(told, ["Name: "]);
});

describe("a secret", () => {
  it("piped in is its first line", async () => {
    const { io, told } = openIo(["se", "cret\nmore"], false);
    assert.equal(await readSecret(io, "Key: "), "secret");
    assert.deepEqual(told, []);
  });

  it("typed is not shown, and can be corrected", async () => {
    const { io, told } = openIo(["s", "x", "\x7f", "e", "t", "\r"], true);
    assert.equal(await readSecret(io, "Key: "), "set");
    assert.deepEqual(told, ["Key: ", "raw", "cooked", "\n"]);
  });

  it("is given up with Ctrl-C, which leaves the terminal as it was", async () => {
    const { io, told } = openIo(["s", "\x03", "t", "\r"], true);
    await assert.rejects(readSecret(io, "Key: "), { code: "canceled" });
    assert.deepEqual(told, ["Key: ", "raw", "cooked", "\n"]);
  });

  it("has an end", async () => {
    const { io } = openIo(["x".repeat(2_000)], false);
    await assert.rejects(readSecret(io, "Key: "), /too long/);
  });
});
