import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { systemRandom } from "./system-ports.ts";
import { newUnlockKey, parseUnlockKey } from "./unlock-key.ts";

test("unlock key, a new one has Swarm's form and gives back its 32 bytes", () => {
  const bytes = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index));
  const key = newUnlockKey({ ...systemRandom, bytes: () => bytes });
  assert.match(key, /^SWMKEY-1-[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(parseUnlockKey(key), bytes);
  assert.notEqual(newUnlockKey(systemRandom), newUnlockKey(systemRandom));
});

test("unlock key, what differs in one character is another key or none, and is not repeated in the error", () => {
  const key = newUnlockKey(systemRandom);
  const change = fc.tuple(fc.nat({ max: key.length - 1 }), fc.string({ maxLength: 2 }));
  fc.assert(
    fc.property(change, ([at, text]) => {
      const changed = key.slice(0, at) + text + key.slice(at + 1);
      if (changed === key) return;
      try {
        assert.notDeepEqual(parseUnlockKey(changed), parseUnlockKey(key));
      } catch (thrown) {
        assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
        assert.ok(!thrown.message.includes(changed.slice(9, 30)));
      }
    }),
  );
});

test("unlock key, any text parses to a key that prints as that text, or is refused", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.base64String().map((text) => `SWMKEY-1-${text}`),
      ),
      (text) => {
        try {
          assert.equal(`SWMKEY-1-${Buffer.from(parseUnlockKey(text)).toString("base64url")}`, text);
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
        }
      },
    ),
  );
});
