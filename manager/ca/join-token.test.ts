import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { newClusterPart, newJoinToken, parseJoinToken } from "./join-token.ts";

test("join token, what is made is parsed into its parts", () => {
  const part = newClusterPart(systemRandom);
  const token = newJoinToken(part, systemRandom);
  assert.match(token, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  const { cluster, secret } = parseJoinToken(token);
  assert.deepEqual([cluster, secret], [part, token.slice(-25)]);
});

test("join token, any other text is refused as malformed", () => {
  const refuses = (text: string) =>
    assert.throws(
      () => parseJoinToken(text),
      (thrown: unknown) =>
        thrown instanceof Fault &&
        thrown.code === "invalid-argument" &&
        thrown.message.startsWith("the join token is malformed"),
    );
  const token = newJoinToken(newClusterPart(systemRandom), systemRandom);
  for (const text of ["", "SWMTKN-1-a-b", token.slice(1), `${token}0`, `${token}\n`]) refuses(text);
  fc.assert(fc.property(fc.string(), refuses));
});
